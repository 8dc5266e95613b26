"""Class paths: how files and configurations name a class, and which classes they may name.

A path is `module:Class`, or Hydra's `module.Class`, or the name of a plug-in (`cuvis_ai.plugins`).
Accepted is a class that is *defined* in that module, or that the module names in its `__all__`, in `cuvis_ai`
or a package that the caller allows, and that derives from a base that the caller expects. A mere prefix
test would not do: `lightning.…model_checkpoint.torch.load` has an allowed prefix.
"""

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

from cuvis_ai.errors import ConfigError
from cuvis_ai.plugins import path_of, within

CODE_KEYS = ("_partial_", "_args_", "_recursive_", "_convert_")
"""Keys by which Hydra makes objects in other ways than by calling a class; no configuration may hold them."""

_LONGEST = 250

_MOVED = {
    "cuvis_ai.training.report:ReportMonitor": "cuvis_ai.training.monitors:ReportMonitor",
}
"""Paths that earlier versions wrote or documented, and where the class is named now."""


def class_path(cls: type[Any]) -> str:
    """Return `module:Class`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def resolve(
    path: object,
    bases: tuple[type[Any], ...],
    allow: Sequence[str] = (),
    *,
    ours: Sequence[str] = ("cuvis_ai",),
    closed: Sequence[str] = (),
    group: str | None = None,
) -> type[Any]:
    """Return the class that a path names.

    Args:
        path: `module:Class` or `module.Class`, or the name of a plug-in.
        bases: the class must derive from one of these.
        allow: packages besides `cuvis_ai`.
        ours: packages and modules of `cuvis_ai` in which to look.
        closed: packages and modules in these in which not to look.
        group: of entry points, in which an allowed package may offer the class by a name; None: in none.

    Raises:
        ConfigError: the path is malformed, outside the allowed packages (nothing is imported then),
            or names something else than such a class.
    """
    if not isinstance(path, str):
        raise ConfigError(
            f"class path: expected a string such as 'cuvis_ai.node.pca.TrainablePCA', got {path!r}."
        )
    if len(path) > _LONGEST:
        raise ConfigError(f"class path: expected at most {_LONGEST} characters, got {len(path)}.")
    if group is not None and path.isidentifier():
        path = path_of(path, group, allow)
    module_name, class_name = _split(path)
    if not all(part.isidentifier() for part in (*module_name.split("."), class_name)):
        raise ConfigError(f"class path {path!r}: expected the form 'package.module.Class'.")
    allowed = (*ours, *allow)
    if not within(module_name, allowed) or within(module_name, closed):
        package = module_name.partition(".")[0]
        hint = "" if package == "cuvis_ai" else f" If you trust that package, pass allow=[{package!r}]."
        raise ConfigError(f"class path {path!r}: expected a class of {', '.join(allowed)}.{hint}")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as err:
        raise ConfigError(f"class path {path!r}: there is no module `{err.name}`.") from err
    except ImportError as err:  # such as a name that another version of ours, or of another package, has
        raise ConfigError(
            f"class path {path!r}: expected `{module_name}` to import, got: {err}. Install versions of its "
            "package and of what it imports that fit."
        ) from err
    found = vars(module).get(class_name)
    if not inspect.isclass(found):
        raise ConfigError(f"class path {path!r}: `{module_name}` defines no class `{class_name}`.")
    if found.__module__ != module_name and class_name not in getattr(module, "__all__", ()):
        raise ConfigError(
            f"class path {path!r}: the class is defined in `{found.__module__}`. Name that module."
        )
    if not issubclass(found, bases) or inspect.isabstract(found):
        expected = " or ".join(base.__name__ for base in bases)
        raise ConfigError(f"class path {path!r}: expected a {expected}, got {found.__name__}.")
    return found


def _split(path: str) -> tuple[str, str]:
    """Return module and class; of a class that has moved, where it is now."""
    module_name, _, class_name = path.rpartition(":" if ":" in path else ".")
    written = f"{module_name}:{class_name}"
    module_name, _, class_name = _MOVED.get(written, written).partition(":")
    return module_name, class_name
