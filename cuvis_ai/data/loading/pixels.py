"""Pixels of a cube's window as float32, and which of them are measurements."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.band_selection import BandSelection
from cuvis_ai.data.cube import Cube
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.data.sources.contents import PixelMask
from cuvis_ai.data.sources.number_list import listed
from cuvis_ai.errors import CubeFormatError

_BLOCK_BYTES = 8 * 2**20
"""Rows are converted in blocks of about this size, so that temporaries stay small beside the cube."""


class Window(NamedTuple):
    """A rectangle of pixels in a cube."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rectangle as an index of the first two axes."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def grown(self, pixels: int, size: tuple[int, int]) -> "Window":
        """Return the rectangle with so many pixels more on each side, as far as a cube of that size goes."""
        top, left = max(0, self.top - pixels), max(0, self.left - pixels)
        bottom = min(size[0], self.top + self.height + pixels)
        right = min(size[1], self.left + self.width + pixels)
        return Window(top, left, bottom - top, right - left)

    def common(self, other: "Window") -> "Window | None":
        """Return the pixels that are in both rectangles; None where there are none."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.height, other.top + other.height)
        right = min(self.left + self.width, other.left + other.width)
        return Window(top, left, bottom - top, right - left) if bottom > top and right > left else None

    def seen_from(self, top: int, left: int) -> "Window":
        """Return the rectangle as rows and columns are counted from this row and column on."""
        return self._replace(top=self.top - top, left=self.left - left)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which stored values of a cube are no measurements."""

    no_data: tuple[Any, ...]
    """Values in the cube's number type."""
    least: float | None
    """Smallest measurement."""
    most: float | None
    """Largest measurement."""
    saturation: float | None
    """Level from which on a band counts as saturated."""
    measured: PixelMask | None
    """The file's own mask."""
    finite: bool
    """Whether the number type has none but finite values."""

    @classmethod
    def of(cls, cube: Cube, reading: ReadingOptions) -> Self:
        """Return the rules of a cube; the user's no-data value is in place of the file's."""
        said = cube.validity
        values = said.no_data if reading.no_data is None else (reading.no_data,)
        stored = [_as_stored(value, cube.dtype) for value in values]
        return cls(
            no_data=tuple(value for value in stored if value is not None),
            least=said.least,
            most=said.most,
            saturation=reading.saturation,
            measured=said.measured,
            finite=cube.dtype.kind != "f",
        )

    def valid(self, block: NDArray[Any], pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return where all bands of a block are measurements, (h, w).

        Args:
            block: stored values (h, w, c).
            pixels: the same as float32.
        """
        good = np.ones(block.shape[:2], dtype=bool)
        for value in self.no_data:
            same = block == value
            # A measured band may be 0, too: pixels without data are 0 in all bands.
            good &= ~(same.any(axis=2) if value else same.all(axis=2))
        if self.least is not None:
            good &= ~(block < self.least).any(axis=2)
        if self.most is not None:
            good &= ~(block > self.most).any(axis=2)
        if self.saturation is not None:
            good &= ~(block >= self.saturation).any(axis=2)
        return good if self.finite else good & _finite_pixels(pixels)

    def without_data(self, block: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which values of a block say that nothing was measured, (h, w, c)."""
        missing = np.zeros(block.shape, dtype=bool) if self.finite else np.isnan(block)
        for value in self.no_data:
            missing |= block == value
        if self.least is not None:
            missing |= block < self.least
        if self.most is not None:
            missing |= block > self.most
        return missing


def read_window(
    cube: Cube, window: Window, bands: BandSelection, reading: ReadingOptions, *, as_stored: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Return a window's kept bands as float32 (h, w, c), and where its pixels are valid.

    With `as_stored` they lie in memory as in the file, which spares the time of turning them; else in rows.

    A pixel is invalid when any kept band is not finite (after the conversion), equals a no-data value, is
    outside the limits that the file declares, or reaches the saturation level, and where the file's own mask
    says so; a no-data value of 0 counts where all kept bands are 0, since measured bands may be 0. The second
    value is None where every pixel is valid.

    Raises:
        CubeFormatError: the window leaves the cube, or the values are not real numbers.
    """
    shape = (window.height, window.width, len(bands.kept))
    pixels = np.empty(0, dtype=np.float32)
    valid = np.ones(shape[:2], dtype=bool)
    rules = Rules.of(cube, reading)
    for rows, block in blocks(cube, window, bands.selector):
        if not pixels.size:
            pixels = np.empty_like(block, np.float32, order="K" if as_stored else "C", shape=shape)
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, hence invalid
            measured = block
            if reading.scaled:
                measured = cube.scaling.scaled(block, bands.kept, bands.n_bands)
            pixels[rows] = measured
        valid[rows] = rules.valid(block, pixels[rows])
    if rules.measured is not None:
        valid &= rules.measured(*window.slices)
    return pixels, None if valid.all() else valid


def blocks(
    cube: Cube, window: Window, bands: NDArray[np.int64] | slice
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield the rows of a window, some at a time: where they are in it, and their stored values (h, w, c).

    Raises:
        CubeFormatError: the window leaves the cube, or the values are not real numbers.
    """
    if cube.dtype.kind not in "fiub":
        raise CubeFormatError(
            f"{cube.path}: expected real numbers, got {cube.dtype}. Export the cube as real values."
        )
    rows, columns = window.slices
    if rows.stop > cube.shape[0] or columns.stop > cube.shape[1]:
        raise CubeFormatError(
            f"{cube.path}: expected a window inside {cube.shape[:2]} pixels, got {window}. "
            "The file changed since the data set was set up: set it up again."
        )
    step = _rows_at_once(cube, window)
    for start in range(0, window.height, step):
        stop = min(start + step, window.height)
        yield slice(start, stop), cube.values[rows.start + start : rows.start + stop, columns, bands]


def bands_without_data(
    cube: Cube, window: Window, bands: NDArray[np.int64], reading: ReadingOptions
) -> NDArray[np.int64]:
    """Return those of some bands in which a window holds no measurement; others are read no further.

    Args:
        cube: the cube.
        window: where to look.
        bands: positions in the file, from 0, ascending.
        reading: names the no-data value where the file's own is not to count.

    Raises:
        CubeFormatError: as in `read_window`.
    """
    rules = Rules.of(cube, reading)
    if rules.finite and not rules.no_data and rules.least is None and rules.most is None:
        return bands[:0]
    rows, _ = window.slices
    step = _rows_at_once(cube, window)
    for top in range(rows.start, rows.stop, step):
        strip = window._replace(top=top, height=min(step, rows.stop - top))
        ((_, block),) = blocks(cube, strip, bands)
        missing = rules.without_data(block)
        if rules.measured is not None:
            missing |= ~rules.measured(*strip.slices)[:, :, None]
        bands = bands[missing.all(axis=(0, 1))]
        if not len(bands):
            break
    return bands


def why_invalid(cube: Cube, window: Window, bands: NDArray[np.int64], reading: ReadingOptions) -> str:
    """Return, in words, which bands or which mask leave a window without a valid pixel."""
    rules = Rules.of(cube, reading)
    if rules.measured is not None and not rules.measured(*window.slices).any():
        return "the file's own mask, or its alpha band, leaves out every pixel"
    values = ", ".join(f"{float(value):g}" for value in rules.no_data)
    empty = bands_without_data(cube, window, bands, reading)
    if not len(empty):
        return "each pixel has a band that is no data, not finite, saturated or outside the declared limits"
    which = "all bands" if len(empty) == len(bands) else f"the bands {listed(empty)}"
    return f"{which} hold no data" + (f" (no-data value {values})" if values else "")


def _rows_at_once(cube: Cube, window: Window) -> int:
    return max(1, _BLOCK_BYTES // max(1, window.width * cube.shape[2] * cube.dtype.itemsize))


def _as_stored(no_data: float | None, dtype: np.dtype[Any]) -> Any:
    """The no-data value as the file's number type holds it; None where it cannot."""
    if no_data is None or not np.isfinite(no_data):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(no_data)
    if dtype.kind == "b" or no_data != int(no_data):
        return None
    limits = np.iinfo(dtype)
    return dtype.type(int(no_data)) if limits.min <= no_data <= limits.max else None


def _finite_pixels(pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where all bands are finite, (h, w)."""
    # A sum is non-finite if a term is, and costs one read; sums that overflow are looked at again.
    with np.errstate(over="ignore", invalid="ignore"):
        finite: NDArray[np.bool_] = np.isfinite(pixels.sum(axis=2))
    doubtful = ~finite
    if doubtful.any():
        finite[doubtful] = np.isfinite(pixels[doubtful]).all(axis=1)
    return finite
