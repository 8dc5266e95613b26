"""What configuration files may say to Hydra, and which keys they may hold anywhere: rules on plain mappings.

Hydra itself makes objects of what stands under `hydra:`, before this project sees a configuration. So a file
may set plain values there, and choose among the plug-ins that are installed; it may name no code.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cuvis_ai.pipeline.saving.class_path import CODE_KEYS

_NAMING_CODE = ("_target_", *CODE_KEYS, "()", "class", "factory", ".", "filename")
"""Keys that name code, or files that logging writes to."""
_FREE = ("run", "sweep", "help", "hydra_help", "output_subdir")
"""Parts of `hydra` that hold paths and texts."""
_LITERAL = ("mode", "verbose")
_OF_JOB = ("name", "chdir", "config")
_LOGGING = ("job_logging", "hydra_logging")
_PLUGINS = ("launcher", "sweeper")
_TEXTS_OF_THE_SWEEPER = ("params", "direction", "study_name")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_SWEPT = re.compile(r"[+~]{0,2}(?!(?:hydra|allow)\b)[A-Za-z_][\w./@]*")
"""Keys that a file may let a sweeper vary: they end as overrides, so neither `hydra` nor `allow`."""
_INTERPOLATION = "${"

Place = tuple[str, ...]


def problems_of_a_file(content: object) -> list[str]:
    """Return what is wrong with a configuration file's content, in its place, uninterpolated."""
    if not isinstance(content, Mapping):
        return []
    found = problems_of_names(content)
    if allow := content.get("allow"):
        listed = ",".join(map(str, allow)) if isinstance(allow, list) else allow
        found.append(
            f"`allow`: expected on the command line alone, since it lets a file name code, got {allow!r} in "
            f"a file. If you trust these packages, leave it out there and run with 'allow=[{listed}]'."
        )
    hydra = content.get("hydra")
    if hydra is not None and not isinstance(hydra, Mapping):
        return [*found, _refused(("hydra",), hydra)]
    for key, value in (hydra or {}).items():
        found += [_refused(("hydra", *place), bad) for place, bad in _refusals((str(key),), value)]
    return found


def problems_of_names(content: object) -> list[str]:
    """Return where a configuration makes objects in a way that is never allowed."""
    return [
        f"`{'.'.join(place)}`: expected `_target_: package.module.Class` in plain words, got {value!r}."
        for place, value in _leaves((), content)
        if set(place) & set(CODE_KEYS)
        or (place[-1:] == ("_target_",) and isinstance(value, str) and _INTERPOLATION in value)
    ]


def problem_of_a_search_path(path: str) -> str | None:
    """Return what is wrong with an entry of `hydra.searchpath`: one that is a package would be imported."""
    if not path.startswith("pkg:"):
        return None
    return f"`hydra.searchpath`: expected folders, got the package {path!r}. Name the folder that it lies in."


def is_environment_override(key: str) -> bool:
    """Tell whether an override sets environment variables."""
    return key.lstrip("+~").startswith(("hydra.job.env_set", "hydra.job.env_copy"))


def _refused(place: Place, value: object) -> str:
    key = ".".join(place)
    return (
        f"`{key}`: expected a plain value, or an installed plug-in named in `defaults`, got {value!r} "
        "in a file: it could run code or write files. If you trust it, say it on the command line."
    )


def _refusals(place: Place, value: object) -> Iterator[tuple[Place, object]]:
    """Yield the places below `hydra` that a file may not set, with what it says there."""
    for at, leaf in _leaves(place, value):
        if set(at) & set(_NAMING_CODE) or not _is_allowed(at, leaf):
            yield at, leaf


def _is_allowed(place: Place, value: object) -> bool:
    part, below = place[0], place[1:]
    literal = not (isinstance(value, str) and _INTERPOLATION in value)
    if part in _FREE or (part == "job" and below[:1] and below[0] in _OF_JOB):
        return True
    if part in _LITERAL:
        return literal
    if part == "searchpath":
        return literal and isinstance(value, str) and problem_of_a_search_path(value) is None
    if part in _LOGGING:
        return literal and (not isinstance(value, str) or "://" not in value or value in _STREAMS)
    if part == "sweeper" and below[:1] == ("params",) and len(below) > 1:
        return bool(_SWEPT.fullmatch(below[1]))
    if part in _PLUGINS:
        texts = part == "sweeper" and below[:1] and below[0] in _TEXTS_OF_THE_SWEEPER
        return literal and (texts or not isinstance(value, str))
    return value is None


def _leaves(place: Place, value: object) -> Iterator[tuple[Place, Any]]:
    """Yield what is neither mapping nor list, and empty ones, with their places; numbers stand for items."""
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _leaves((*place, str(key)), below)
    elif isinstance(value, list) and value:
        for i, below in enumerate(value):
            yield from _leaves((*place, str(i)), below)
    else:
        yield place, value
