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
            GraphError: the cube does not have the bands of training, or calls one of them bad.
        """
        good = BandSelection.of(cube, reading)
        needed = _needed(cube, trained, good, reading, match_bands)
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

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Return a window's pixels (h, w, c), and where they are valid; None: everywhere.

        Raises:
            CubeFormatError: it cannot be read.
        """
        pixels, valid = read_window(self.cube, window, self.bands, self.reading)
        return (pixels if self.order is None else pixels[..., list(self.order)]), valid

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
