"""The scenes that a user names: files, folders, patterns, and lists in text files."""

import os
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.folders import cube_name, find_cubes
from cuvis_ai.data.format_search import known_formats
from cuvis_ai.data.sources.name_order import by_number
from cuvis_ai.data.sources.urls import require_path
from cuvis_ai.errors import ConfigError, DatasetNotFoundError
from cuvis_ai.paths import StrPath

_PATTERN = frozenset("*?[")
_COMMENT = re.compile(r"(^|\s)#.*")


def find_scenes(given: StrPath | Iterable[StrPath]) -> list[Path]:
    """Return the files of scenes, each once, in the order in which they are named.

    Args:
        given: one or several of: a file or zarr store; a folder, of which the cubes that lie directly in it
            are taken in the order of their names; a pattern such as "flight/*.hdr"; a text file (.txt) with
            one of these a line, from its own folder; "#" begins a comment at a line's begin or after a blank.
            Of an ENVI header and its data file, as `flight/*` names both, the header is the scene.

    Raises:
        DatasetNotFoundError: one names nothing.
        CubeFormatError: one is a URL.
        ConfigError: two scenes have one name, so that their maps would overwrite each other; a list is not
            text in UTF-8, or names itself.
    """
    several: list[Any] = (
        list(given) if np.iterable(given) and not isinstance(given, str | os.PathLike) else [given]
    )
    if wrong := [one for one in several if not isinstance(one, str | os.PathLike)]:
        raise ConfigError(
            f"expected scenes as paths or names, one or a list of them, got {type(wrong[0]).__name__}."
        )
    for one in several:
        require_path(one, "a scene")
    named = [path for one in several for path in _named(Path(one).expanduser())]
    found = _each_once(named)
    if not found:
        raise DatasetNotFoundError("expected at least one scene, got none. Name a file, folder or pattern.")
    names: dict[str, Path] = {}
    for path in found:
        other = names.setdefault(cube_name(path), path)
        if other != path:
            raise ConfigError(
                f"expected scenes with names of their own, got {other} and {path}, whose maps would have one "
                "name. Predict them into two folders."
            )
    return found


def _each_once(named: Iterable[Path]) -> list[Path]:
    """Return scenes without those that another path names, too."""
    resolved = cache(Path.resolve)
    whole: dict[tuple[Path, str], Path] = {}
    for path in named:
        whole.setdefault((resolved(path.parent), path.name), path)  # a link is a scene with its own name
    data = {place for place, path in whole.items() if not _is_cube(path)}
    if not data:
        return list(whole.values())
    cubes = {(folder, cube_name(whole[folder, name])) for folder, name in whole.keys() - data}
    return [
        path
        for (folder, name), path in whole.items()
        if (folder, name) not in data or (folder, cube_name(path)) not in cubes
    ]


def _named(path: Path, lists: tuple[Path, ...] = ()) -> Sequence[Path]:
    """The scenes that one path names, itself a line of the innermost of these lists."""
    if path.is_dir() and not _is_store(path):
        if cubes := find_cubes(path):
            return cubes
        raise DatasetNotFoundError(
            f"{path}: expected a folder with cubes, got none in it. Name their folder."
        )
    if path.suffix.lower() == ".txt" and path.is_file():
        if path.resolve() in lists:
            raise ConfigError(f"{path}: expected a list of scenes, got one that names itself. Correct it.")
        within = (*lists, path.resolve())
        return [scene for line in _lines(path) for scene in _named(path.parent / line, within)]
    if path.exists():
        return [path]
    if _PATTERN & set(str(path)):
        anchor = Path(path.anchor)
        matching = sorted(anchor.glob(str(path.relative_to(anchor))), key=by_number)
        if scenes := [scene for match in matching if _is_cube(match) for scene in _named(match)]:
            return scenes
        raise DatasetNotFoundError(f"{path}: expected a pattern that cubes match, got none. Correct it.")
    raise DatasetNotFoundError(f"{path}: expected a scene, got no such file or folder. Correct the path.")


def _lines(path: Path) -> list[Path]:
    """Return what the lines of a text file name."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors begin it with a mark
    except UnicodeDecodeError as err:
        raise ConfigError(
            f"{path}: expected a list of scenes as text in UTF-8, got another encoding. Save it as UTF-8."
        ) from err
    lines = (_COMMENT.sub("", line).strip() for line in text.splitlines())
    return [Path(line).expanduser() for line in lines if line]


def _is_store(path: Path) -> bool:
    return any((path / name).is_file() for one in known_formats() for name in one.folder_files)


def _is_cube(path: Path) -> bool:
    """Whether a pattern means this file: an ENVI header's data file is not a second scene."""
    if path.is_dir():
        return _is_store(path)
    suffix = path.suffix.lower()
    return any(suffix in one.suffixes for one in known_formats())
