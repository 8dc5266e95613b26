"""What a cube's header says, in words."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.sources.contents import Validity
from cuvis_ai.data.sources.georeference import Georeference
from cuvis_ai.data.sources.number_list import listed
from cuvis_ai.data.sources.scaling import Scaling


class Described(Protocol):
    """What is read of a `Cube`, which stands above this file."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The number type."""

    @property
    def wavelengths(self) -> NDArray[np.float64] | None:
        """Band centres in nm."""

    @property
    def bad_bands(self) -> NDArray[np.bool_] | None:
        """(c,), True where bad."""

    @property
    def validity(self) -> Validity:
        """Which values are measurements."""

    @property
    def georeference(self) -> Georeference | None:
        """Where the pixels are."""

    @property
    def scaling(self) -> Scaling:
        """Scale factors and unit."""

    @property
    def doubts(self) -> Mapping[str, str]:
        """What was assumed, by option."""


def header_facts(cube: "Described") -> Iterator[tuple[str, str]]:
    """Yield a scene's size, type, wavelengths, bad bands, no-data values, scale, georeference and doubts."""
    h, w, c = cube.shape
    yield "size", f"{h} rows, {w} columns, {c} bands"
    n_bytes = cube.dtype.itemsize * h * w * c
    yield "type", f"{cube.dtype.name}, {n_bytes / 1e6:.4g} MB; as float32 {4 * h * w * c / 1e6:.4g} MB"
    yield "wavelengths", "unknown" if cube.wavelengths is None else f"{listed(cube.wavelengths)} nm"
    if cube.bad_bands is not None:
        bad = np.flatnonzero(cube.bad_bands)
        yield "bad bands", f"{len(bad)}: {listed(bad)}" if len(bad) else "none"
    else:
        yield "bad bands", "not stated"
    no_data = cube.validity.no_data
    yield "no data", ", ".join(f"{value:g}" for value in no_data) if no_data else "not stated"
    limits = (cube.validity.least, cube.validity.most)
    if limits != (None, None):
        yield "measurements", " to ".join("any" if limit is None else f"{limit:g}" for limit in limits)
    if cube.scaling.converts:
        yield "scale", f"{listed(cube.scaling.gain)} · stored + {listed(cube.scaling.offset)}"
    if cube.scaling.unit is not None:
        yield "unit", cube.scaling.unit
    yield from _place(cube.georeference, cube.shape)
    for option, doubt in cube.doubts.items():
        yield f"doubtful ({option})", doubt


def _place(grid: Georeference | None, shape: tuple[int, int, int]) -> Iterator[tuple[str, str]]:
    if grid is None:
        yield "georeference", "none"
        return
    h, w, _ = shape
    yield "coordinate system", grid.crs or "unknown"
    yield "pixel", " x ".join(f"{side:.10g}" for side in grid.pixel_size())
    for corner, row, column in (("first", 0, 0), ("last", h - 1, w - 1)):
        x, y = grid.position(row, column)
        yield f"{corner} pixel's centre", f"{x:.10g}, {y:.10g}"
