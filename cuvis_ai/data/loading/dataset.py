"""A map-style data set of cubes and windows of cubes, opened when they are read."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from cuvis_ai.data.band_selection import BandSelection
from cuvis_ai.data.cube import Cube, read_cube
from cuvis_ai.data.loading.collate import Sample
from cuvis_ai.data.mask_sources import MaskSource, no_anomaly
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.errors import CubeFormatError

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 8 * 2**20
"""Rows are converted in blocks of about this size, so that temporaries stay small beside the cube."""

READ_ERRORS = (CubeFormatError, OSError, ValueError, EOFError)
"""What the decoding libraries raise on damaged files."""


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


@dataclass(frozen=True, kw_only=True, eq=False)
class CubeItem:
    """Where one sample comes from; holds no pixel."""

    name: str
    """Readable name, unique in its data set."""
    path: Path
    """File of the cube."""
    key: str | None = None
    """Array, or frame, inside the file."""
    window: Window | None = None
    """Part of the cube; None for all of it."""
    mask: MaskSource | None = None
    """Gives the whole cube's anomaly mask, masked where a pixel's label is unknown; None: there is none."""
    labels: MaskSource | None = None
    """Gives the whole cube's class numbers, one a pixel."""


class CubeDataset(Dataset[Sample]):
    """Read cubes as float32 (h, w, c) with their masks, one item at a time.

    Values are converted, never scaled; integers beyond 2^24 are rounded, as float32 has them. An item's
    rows are read and converted block by block, and no file stays open, so that worker processes may share
    the data set.

    Args:
        items: what to read, in order.
        bands: bands that every cube must have, and which of them are kept.
        reading: which pixels hold no data, and what becomes of an item that cannot be read: with
            `on_error="skip"` a cube of the expected size without a valid pixel, so that batches, epochs and
            ranks keep their lengths.
        fallback_size: (h, w) of a skipped item without a window.
    """

    def __init__(
        self,
        items: Sequence[CubeItem],
        *,
        bands: BandSelection,
        reading: ReadingOptions,
        fallback_size: tuple[int, int] = (1, 1),
    ) -> None:
        self.items = list(items)
        self.bands = bands
        self.reading = reading
        self.fallback_size = fallback_size
        # Shared memory: workers set the flags, the main process counts them.
        self._failed = torch.zeros(len(self.items), dtype=torch.bool)
        if reading.on_error == "skip":
            self._failed.share_memory_()
        self._opened: tuple[Path, str | None, Cube] | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        """Return one sample; `valid` is absent where every pixel is good.

        Raises:
            CubeFormatError: the file cannot be read, or does not fit the data set; names the file.
        """
        item = self.items[index]
        try:
            return self._read(item)
        except READ_ERRORS as err:
            if self.reading.on_error == "raise":
                raise CubeFormatError(
                    f"{item.path} (`{item.name}`): expected a cube that reads without error, got: {err} "
                    'Repair or remove the file, or pass `on_error="skip"`.'
                ) from err
            if not self._failed[index]:
                logger.warning("Skipping `%s` (%s): %s", item.name, item.path, err)
            self._failed[index] = True
            return self._blank(item)

    def count_anomalous(self, index: int) -> tuple[int, int]:
        """Return how many pixels of an item are anomalies, and of how many that is known; reads the mask.

        Both are 0 where there is no mask, or where it or the header cannot be read.
        """
        item = self.items[index]
        if item.mask is None:
            return 0, 0
        try:
            size = self._open(item).shape[:2]
            mask = _window_of(item.mask, size, item.window or Window(0, 0, *size), item.name)
        except READ_ERRORS:  # said, or skipped, when the item is read
            return 0, 0
        return int(np.ma.filled(mask, 0).astype(bool).sum()), int(np.ma.count(mask))

    @property
    def skipped(self) -> list[str]:
        """Names of the items that could not be read so far."""
        return [self.items[int(i)].name for i in torch.nonzero(self._failed)]

    def _read(self, item: CubeItem) -> Sample:
        cube = self._open(item)
        self.bands.check(cube)
        size = cube.shape[:2]
        window = item.window or Window(0, 0, *size)
        pixels, valid = read_window(cube, window, self.bands, self.reading)
        return self._sample(item, pixels, valid, size, window)

    def _open(self, item: CubeItem) -> Cube:
        """The item's cube; the last one is cached, since the tiles of one scene follow each other."""
        if self._opened is None or self._opened[:2] != (item.path, item.key):
            self._opened = (item.path, item.key, read_cube(item.path, key=item.key))
        return self._opened[2]

    def _blank(self, item: CubeItem) -> Sample:
        """The item's size without a valid pixel."""
        size = item.window[2:] if item.window else self.fallback_size
        pixels = np.zeros((*size, len(self.bands.kept)), dtype=np.float32)
        blank = replace(item, mask=item.mask and no_anomaly, labels=item.labels and no_anomaly)
        return self._sample(blank, pixels, np.zeros(size, dtype=bool), size, Window(0, 0, *size))

    def _sample(
        self,
        item: CubeItem,
        pixels: NDArray[np.float32],
        valid: NDArray[np.bool_] | None,
        size: tuple[int, int],
        window: Window,
    ) -> Sample:
        """A window's pixels with what else is known of them; `size` is the whole cube's."""
        sample: Sample = {"cube": pixels, "name": item.name}
        if item.mask is not None:
            mask = _window_of(item.mask, size, window, item.name)
            if np.ma.is_masked(mask):
                known = ~np.ma.getmaskarray(mask)
                valid = known if valid is None else valid & known
            sample["mask"] = np.ma.filled(mask, False).astype(bool)
        if valid is not None:
            sample["valid"] = valid
        if item.labels is not None:
            sample["labels"] = _window_of(item.labels, size, window, item.name).astype(np.int64)
        if self.bands.wavelengths is not None:
            sample["wavelengths"] = self.bands.wavelengths.astype(np.float32)
        return sample


def read_window(
    cube: Cube, window: Window, bands: BandSelection, reading: ReadingOptions
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Return a window's kept bands as float32 (h, w, c), and where its pixels are valid.

    A pixel is invalid when any kept band is not finite (after the conversion), equals the no-data
    value, or reaches the saturation level. The second value is None where every pixel is valid.

    Raises:
        CubeFormatError: the window leaves the cube, or the values are not real numbers.
    """
    source = cube.dtype
    if source.kind not in "fiub":
        raise CubeFormatError(
            f"{cube.path}: expected real numbers, got {source}. Export the cube as real values."
        )
    rows, columns = window.slices
    if rows.stop > cube.shape[0] or columns.stop > cube.shape[1]:
        raise CubeFormatError(
            f"{cube.path}: expected a window inside {cube.shape[:2]} pixels, got {window}. "
            "The file changed since the data set was set up: set it up again."
        )
    no_data = _as_stored(cube.no_data if reading.no_data is None else reading.no_data, source)
    pixels = np.empty((window.height, window.width, len(bands.kept)), dtype=np.float32)
    valid = np.ones((window.height, window.width), dtype=bool)
    step = max(1, _BLOCK_BYTES // max(1, window.width * bands.n_bands * source.itemsize))
    for start in range(0, window.height, step):
        stop = min(start + step, window.height)
        block = cube.values[rows.start + start : rows.start + stop, columns, bands.selector]
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, hence invalid
            pixels[start:stop] = block
        good = valid[start:stop]
        if no_data is not None:
            good &= ~(block == no_data).any(axis=2)
        if reading.saturation is not None:
            good &= ~(block >= reading.saturation).any(axis=2)
        if source.kind == "f":
            good &= _finite_pixels(pixels[start:stop])
    return pixels, None if valid.all() else valid


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


def _window_of(source: MaskSource, size: tuple[int, int], window: Window, name: str) -> NDArray[Any]:
    """The window of a mask, or of labels, that has the cube's size."""
    whole = source(size)
    if whole.shape != size:
        raise CubeFormatError(
            f"`{name}`: expected a mask of the cube's {size[0]}x{size[1]} pixels, got shape {whole.shape}. "
            "Give each cube the mask that was drawn on it."
        )
    return whole[window.slices].copy()
