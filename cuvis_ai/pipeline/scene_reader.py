"""A scene of which the bands that a graph needs are read, whole or window by window. It needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.band_selection import BandSelection
from cuvis_ai.data.cube import Cube
from cuvis_ai.data.loading.pixels import Window, bands_without_data, read_window, why_invalid
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.data.sources.number_list import listed
from cuvis_ai.data.sources.read_scale import ReadScale
from cuvis_ai.errors import CubeFormatError, GraphError
from cuvis_ai.pipeline.trained_bands import TrainedBands


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneReader:
    """Reads windows of one cube with the bands of training, in their order."""

    cube: Cube
    """The opened cube."""
    bands: BandSelection
    """Those of its bands that the graph needs."""
    reading: ReadingOptions
    """How they are read."""
    order: tuple[int, ...] | None
    """Positions among these bands, in the order of training; None where that is the file's."""
    neighbours: tuple[tuple[Window, Self], ...] = ()
    """Other scenes of its grid, each with where it lies in the rows and columns of this one."""

    @classmethod
    def of(
        cls, cube: Cube, trained: TrainedBands, reading: ReadingOptions, *, match_bands: bool = False
    ) -> Self:
        """Return a reader of a cube.

        Args:
            cube: the cube.
            trained: the bands of training.
            reading: how it is read; its bad bands are in place of those that the file flags.
            match_bands: whether to take the bands nearest to those of training.

        Raises:
            GraphError: the cube does not have the bands of training, calls one of them bad, or its numbers
                stand for something else than in training.
        """
        if reading.scaled is None and trained.scale is not None:
            reading = replace(reading, scaled=trained.scale.applied)
        good = BandSelection.of(cube, reading)
        needed = _needed(cube, trained, good, reading, match_bands)
        scale = ReadScale(declared=cube.scaling.of_bands(needed), applied=bool(reading.scaled))
        trained.check_scale(scale, str(cube.path))
        ascending = sorted(needed)
        order = None if needed == ascending else tuple(int(i) for i in np.argsort(np.argsort(needed)))
        bands = good
        if ascending != good.kept.tolist():
            others = sorted(set(range(cube.shape[2])) - set(needed))
            bands = BandSelection.of(cube, replace(reading, bad_bands=others))
        return cls(cube=cube, bands=bands, reading=reading, order=order)

    @property
    def whole(self) -> Window:
        """All of the scene."""
        return Window(0, 0, *self.cube.shape[:2])

    def around(self, window: Window, pixels: int) -> Window:
        """Return a window with so many pixels more on each side, as far as scene and neighbours go."""
        inside = window.grown(pixels, self.cube.shape[:2])
        if not self.neighbours:
            return inside
        top, left, height, width = window
        wanted = Window(top - pixels, left - pixels, height + 2 * pixels, width + 2 * pixels)
        seen = [inside, *filter(None, (wanted.common(place) for place, _ in self.neighbours))]
        top, left = min(one.top for one in seen), min(one.left for one in seen)
        bottom, right = max(one.top + one.height for one in seen), max(one.left + one.width for one in seen)
        return Window(top, left, bottom - top, right - left)

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Return a window's pixels (h, w, c), and where they are valid; None: everywhere.

        Raises:
            CubeFormatError: it cannot be read.
        """
        pixels, valid = self.pixels(window)
        return (pixels if self.order is None else pixels[..., list(self.order)]), valid

    def pixels(
        self, window: Window, *, as_stored: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Return the same with the bands in the file's order; with `as_stored` as they lie in memory there.

        Beyond the scene's border they are those of its neighbours, and invalid where there is none.

        Raises:
            CubeFormatError: it, or a neighbour, cannot be read.
        """
        if window.common(self.whole) == window:
            return read_window(self.cube, window, self.bands, self.reading, as_stored=as_stored)
        return self._with_neighbours(window, as_stored)

    def _with_neighbours(
        self, window: Window, as_stored: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        inside = window.common(self.whole)
        assert inside is not None
        own, good = read_window(self.cube, inside, self.bands, self.reading, as_stored=as_stored)
        shape = (window.height, window.width)
        # In memory as the scene's own pixels are: the last bits of products depend on it.
        pixels = np.zeros_like(own, shape=(*shape, own.shape[2]))
        valid, missing = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
        at = inside.seen_from(window.top, window.left).slices
        pixels[at], valid[at], missing[at] = own, True if good is None else good, False
        for place, neighbour in self.neighbours:
            needed = _bounds(missing, place.seen_from(window.top, window.left))
            if needed is None:
                continue
            theirs, good = neighbour.pixels(
                needed.seen_from(place.top - window.top, place.left - window.left)
            )
            taken = missing[needed.slices] & (True if good is None else good)
            pixels[needed.slices][taken] = theirs[taken]
            valid[needed.slices] |= taken
            missing[needed.slices] &= ~taken
        return pixels, None if valid.all() else valid

    def require_data(self) -> None:
        """Raise an error that names the bands, or the mask, without which no pixel is valid, if so it is.

        Raises:
            GraphError: the graph needs bands that hold no data.
            CubeFormatError: nothing holds data.
        """
        kept = self.bands.kept
        empty = bands_without_data(self.cube, self.whole, kept, self.reading)
        if len(empty) == len(kept):
            raise CubeFormatError(
                f"{self.cube.path}: expected at least one valid pixel, got none: "
                f"{why_invalid(self.cube, self.whole, kept, self.reading)}. Correct the file, or pass "
                "`no_data=` if the value is a measurement."
            )
        if len(empty):
            raise GraphError(
                f"{self.cube.path}: expected data in each of the {len(kept)} bands that the graph needs, got "
                f"none in the bands {_described(empty, self.cube, self.reading.wavelengths)}. Train a graph "
                "without them (`bad_bands=`), or correct the file."
            )


def _bounds(flags: NDArray[np.bool_], window: Window) -> Window | None:
    """Return the smallest rectangle with the flags of a window, which may reach beyond them; None: none."""
    common = window.common(Window(0, 0, *flags.shape))
    if common is None or not (part := flags[common.slices]).any():
        return None
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    top, left = common.top + int(rows[0]), common.left + int(columns[0])
    return Window(top, left, int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)


def _needed(
    cube: Cube, trained: TrainedBands, good: BandSelection, reading: ReadingOptions, match_bands: bool
) -> list[int]:
    """Positions in a cube of the bands of training, in their order."""
    centres = cube.wavelengths if reading.wavelengths is None else np.asarray(reading.wavelengths)
    nm = None if centres is None else centres.tolist()
    kept = good.kept.tolist()
    if match_bands:
        near = trained.nearest(None if nm is None else [nm[band] for band in kept])
        return [kept[i] for i in near]
    needed = trained.positions(cube.shape[2], kept, nm, str(cube.path))
    unflagged = set(kept)
    if flagged := [band for band in needed if band not in unflagged]:
        raise GraphError(
            f"{cube.path}: expected the bands that the graph needs to be good, got the bands "
            f"{_described(flagged, cube, nm)} flagged bad. If they are good, pass "
            "`read_batch(…, bad_bands=[…])` with the others; or train a graph without them."
        )
    return needed


def _described(bands: Sequence[int] | NDArray[np.int64], cube: Cube, nm: Sequence[float] | None) -> str:
    """Return bands as text, with their wavelengths where these are known."""
    centres = cube.wavelengths if nm is None else nm
    return listed(bands) + ("" if centres is None else f" at {listed([centres[i] for i in bands])} nm")
