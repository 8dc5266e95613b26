"""A map-style data set of cubes and windows of cubes, opened when they are read."""

import logging
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from cuvis_ai.data.band_selection import BandSelection
from cuvis_ai.data.cube import Cube, open_cube
from cuvis_ai.data.format_search import allow_formats, allowed_packages
from cuvis_ai.data.loading.collate import Sample
from cuvis_ai.data.loading.pixels import Window, read_window, why_invalid
from cuvis_ai.data.loading.sampler import Repeated
from cuvis_ai.data.mask_sources import MaskSource, no_anomaly
from cuvis_ai.data.memory_cube import memory_cube
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.errors import CubeFormatError

logger = logging.getLogger(__name__)

READ_ERRORS = (CubeFormatError, OSError, ValueError, EOFError, MemoryError)
"""What is raised on damaged files; a damaged shape asks for more memory than there is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CubeItem:
    """Where one sample comes from; holds no pixel."""

    name: str
    """Readable name, unique in its data set."""
    path: Path
    """File of the cube; what messages call one in memory."""
    array: Any = None
    """The cube itself, where it is in memory."""
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
        self.context = 0
        # Shared memory: workers set the flags, the main process counts them.
        self._failed = torch.zeros(len(self.items), dtype=torch.bool)
        if reading.on_error == "skip":
            self._failed.share_memory_()
        self._explained = False
        self._opened: tuple[Path, str | None, Cube] | None = None

    def with_context(self, pixels: int) -> Self:
        """Return the same data set, its windows with so many pixels more on each side, `core` False there."""
        other = copy(self)
        other.context = pixels
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the plug-ins that a worker process needs, too, where it is not forked."""
        return {**vars(self), "_allowed": allowed_packages()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state in a worker process."""
        allow_formats(state.pop("_allowed"))
        vars(self).update(state)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        """Return one sample; `valid` is absent where every pixel is good, and False for a `Repeated` one.

        Raises:
            CubeFormatError: the file cannot be read, or does not fit the data set; names the file.
        """
        item = self.items[index]
        try:
            sample = self._read(item)
            if isinstance(index, Repeated):
                sample["valid"] = np.zeros(sample["cube"].shape[:2], dtype=bool)
            return sample
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

    def count_pixels(self, index: int) -> int:
        """Return how many pixels an item has; reads the header at most, 0 where that cannot be read."""
        item = self.items[index]
        if item.window is not None:
            return item.window.height * item.window.width
        try:
            h, w, _ = self._open(item).shape
        except READ_ERRORS:
            return 0
        return h * w

    @property
    def skipped(self) -> list[str]:
        """Names of the items that could not be read so far."""
        return [self.items[int(i)].name for i in torch.nonzero(self._failed)]

    def why_invalid(self, item: CubeItem) -> str:
        """Return, in words, which bands or which mask leave an item without a valid pixel."""
        cube = self._open(item)
        window = item.window or Window(0, 0, *cube.shape[:2])
        _, valid = read_window(cube, window, self.bands, self.reading)
        if item.mask is not None and (valid is None or valid.any()):
            return "its mask says `ignore_values`, unknown, wherever there are data"
        return why_invalid(cube, window, self.bands.kept, self.reading)

    def why_all_invalid(self) -> str:
        """Return, in words, why no item has a valid pixel: the first one's reason."""
        if not self.items:
            return "there is no item"
        item = self.items[0]
        try:
            return f"{item.path} (`{item.name}`): {self.why_invalid(item)}"
        except READ_ERRORS as err:
            return f"{item.path} (`{item.name}`) cannot be read: {err}"

    def _read(self, item: CubeItem) -> Sample:
        cube = self._open(item)
        self.bands.check(cube)
        size = cube.shape[:2]
        window = item.window or Window(0, 0, *size)
        grown = window.grown(self.context, size)
        pixels, valid = read_window(cube, grown, self.bands, self.reading)
        if valid is not None and not valid.any() and not self._explained:
            self._explained = True
            logger.warning("%s: no valid pixel: %s.", item.name, self.why_invalid(item))
        sample = self._sample(item, pixels, valid, size, grown)
        if grown != window:
            sample["core"] = np.zeros(grown[2:], dtype=bool)
            rows, columns = window._replace(top=window.top - grown.top, left=window.left - grown.left).slices
            sample["core"][rows, columns] = True
        return sample

    def _open(self, item: CubeItem) -> Cube:
        """The item's cube; the last one is cached, since the tiles of one scene follow each other."""
        if self._opened is None or self._opened[:2] != (item.path, item.key):
            self._opened = (item.path, item.key, open_item(item, self.reading))
        return self._opened[2]

    def _blank(self, item: CubeItem) -> Sample:
        """The item's size without a valid pixel."""
        size = item.window[2:] if item.window else self.fallback_size
        pixels = np.zeros((*size, len(self.bands.kept)), dtype=np.float32)
        blank = replace(item, mask=item.mask and no_anomaly, labels=item.labels and no_anomaly)
        sample = self._sample(blank, pixels, np.zeros(size, dtype=bool), size, Window(0, 0, *size))
        if item.window is not None:
            sample["window"] = item.window
        return sample

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
        if item.window is not None:
            sample["window"] = window
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


def open_item(item: CubeItem, reading: ReadingOptions) -> Cube:
    """Return an item's cube, read as the options say; its doubts are unlogged."""
    if item.array is not None:
        return memory_cube(item.array, reading, item.path)
    return open_cube(item.path, item.key, axes=reading.axes, wavelengths=reading.wavelengths)


def mask_in_cube_file(mask: MaskSource, axes: str | None) -> MaskSource:
    """Return the mask of a cube's own file, rows first: it lies as the cube does if the user says how.

    Args:
        mask: as the file has it.
        axes: the user's order of the cube's axes; None: none.
    """
    return partial(_turned, mask) if axes and axes.index("w") < axes.index("h") else mask


def _turned(mask: MaskSource, size: tuple[int, int]) -> NDArray[Any]:
    return mask(size[::-1]).T


def _window_of(source: MaskSource, size: tuple[int, int], window: Window, name: str) -> NDArray[Any]:
    """The window of a mask, or of labels, that has the cube's size."""
    whole = source(size)
    if whole.shape != size:
        raise CubeFormatError(
            f"`{name}`: expected a mask of the cube's {size[0]}x{size[1]} pixels, got shape {whole.shape}. "
            "Give each cube the mask that was drawn on it."
        )
    return whole[window.slices].copy()
