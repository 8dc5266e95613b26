"""The scenes that a user names: files, folders, patterns, and lists in text files."""

import os
from collections.abc import Iterable, Sequence
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


def find_scenes(given: StrPath | Iterable[StrPath]) -> list[Path]:
    """Return the files of scenes, each once, in the order in which they are named.

    Args:
        given: one or several of: a file or zarr store; a folder, of which the cubes that lie directly in it
            are taken in the order of their names; a pattern such as "flight/*.hdr"; a text file (.txt) with
            one of these a line, from its own folder, "#" beginning a comment.

    Raises:
        DatasetNotFoundError: one names nothing.
        CubeFormatError: one is a URL.
        ConfigError: two scenes have one name, so that their maps would overwrite each other.
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
    found = list(dict.fromkeys(path for one in several for path in _named(Path(one).expanduser())))
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


def _named(path: Path) -> Sequence[Path]:
    """The scenes that one path names."""
    if path.is_dir() and not _is_store(path):
        if cubes := find_cubes(path):
            return cubes
        raise DatasetNotFoundError(
            f"{path}: expected a folder with cubes, got none in it. Name their folder."
        )
    if path.suffix.lower() == ".txt" and path.is_file():
        lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
        return [scene for line in lines if line for scene in _named(path.parent / Path(line).expanduser())]
    if path.exists():
        return [path]
    if _PATTERN & set(str(path)):
        anchor = Path(path.anchor)
        matching = sorted(anchor.glob(str(path.relative_to(anchor))), key=by_number)
        if scenes := [scene for match in matching if _is_cube(match) for scene in _named(match)]:
            return scenes
        raise DatasetNotFoundError(f"{path}: expected a pattern that cubes match, got none. Correct it.")
    raise DatasetNotFoundError(f"{path}: expected a scene, got no such file or folder. Correct the path.")


def _is_store(path: Path) -> bool:
    return any((path / name).is_file() for one in known_formats() for name in one.folder_files)


def _is_cube(path: Path) -> bool:
    """Whether a pattern means this file: an ENVI header's data file is not a second scene."""
    if path.is_dir():
        return _is_store(path)
    return any(path.suffix.lower() in one.suffixes for one in known_formats())
