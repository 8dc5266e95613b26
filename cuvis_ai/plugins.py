"""Plug-ins: what installed packages offer by entry points, and which of it the user allows.

A package offers nodes, formats and monitors by name in the groups `cuvis_ai.nodes`, `cuvis_ai.formats` and
`cuvis_ai.monitors` of its metadata. Looking for them imports nothing: what is offered is text, and a package
counts only once the user has named it in `allow`.
"""

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from cuvis_ai.errors import ConfigError, printable

NODES = "cuvis_ai.nodes"
FORMATS = "cuvis_ai.formats"
MONITORS = "cuvis_ai.monitors"


def within(module: str, packages: Sequence[str]) -> bool:
    """Return whether a module is one of these packages or lies in one.

    Example:
        >>> within("my_package.nodes", ["my_package"]), within("my_package_2", ["my_package"])
        (True, False)
    """
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def offered(group: str, allow: Sequence[str]) -> list[EntryPoint]:
    """Return what the allowed packages offer in a group, sorted by name; imports nothing."""
    return sorted(one for one in entry_points(group=group) if within(one.module, allow))


def path_of(name: str, group: str, allow: Sequence[str]) -> str:
    """Return the class path `module:Class` that an allowed package offers under a name; imports nothing.

    Args:
        name: of the entry point.
        group: where it is offered.
        allow: packages that the user trusts.

    Raises:
        ConfigError: no allowed package offers it, or two do.
    """
    found = sorted({f"{one.module}:{one.attr}" for one in offered(group, allow) if one.name == name})
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f"class path {name!r}: expected one plug-in of that name, got {' and '.join(found)}. "
            "Write package.module.Class in place of the name."
        )
    others = sorted({one.module.partition(".")[0] for one in entry_points(group=group) if one.name == name})
    advice = (
        f"If you trust the installed package that offers it, pass allow=[{printable(others[0])!r}]."
        if others
        else f"No installed package offers that name in `{group}`."
    )
    raise ConfigError(
        f"class path {name!r}: expected the form 'package.module.Class', or the name of a plug-in of an "
        f"allowed package. {advice}"
    )
