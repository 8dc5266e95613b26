"""`MapWriter`: what a module of `writers` says of the files it writes, and what a map says about itself."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cuvis_ai.data.sources.georeference import Georeference


@dataclass(frozen=True, kw_only=True, eq=False)
class Map:
    """Values of a scene's pixels with what a file says about them."""

    values: NDArray[Any]
    """(h, w, k)."""
    band_names: tuple[str, ...]
    """One a band."""
    no_data: float | None
    """What stands at pixels without data; may be NaN."""
    georeference: Georeference | None
    """Where the pixels are on a map."""
    description: str
    """The graph and its version, in a line."""


@dataclass(frozen=True, kw_only=True)
class MapWriter:
    """How maps are written in one format; each module of `writers` has one, called `WRITER`."""

    name: str
    """As commands name it."""
    suffix: str
    """Ending of the file by which a map is opened."""
    write: Callable[[Path, Map], None]
    """Writes a map to a path with that ending; an old one is replaced."""


@contextlib.contextmanager
def replacing(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Give paths beside others, of the same endings, that take their places one by one at the end.

    Their names are always the same, so that what a killed process left is written over: only one process at a
    time may write a path.

    Args:
        paths: files or folders that are written; the last is that by which the map is opened.
    """
    parts = tuple(path.with_name(f".{path.stem}.part{path.suffix}") for path in paths)
    try:
        yield parts
        for part, path in zip(parts, paths, strict=True):
            if part.is_file():
                with part.open("rb") as file:
                    os.fsync(file.fileno())
            part.replace(path)
    finally:
        for part in parts:
            if part.is_file():
                part.unlink()
