"""One scene cut into tiles, and the tiles dealt to splits, so that no pixel is in two of them."""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Unpack

import numpy as np

from cuvis_ai.data.datamodule import CubeDataModule, SplitItems
from cuvis_ai.data.loading.dataset import CubeItem, open_item
from cuvis_ai.data.loading.loader import CubeLoader
from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.data.mask_sources import mask_in_memory
from cuvis_ai.data.options import FileArguments, refuse
from cuvis_ai.errors import ConfigError
from cuvis_ai.types import Batch

logger = logging.getLogger(__name__)


def tile_windows(height: int, width: int, tile: int | tuple[int, int]) -> list[Window]:
    """Return windows that cover a scene row by row, each pixel once.

    Those at the bottom and right edges are smaller where the tile does not divide the scene.

    Args:
        height: rows of the scene.
        width: columns of the scene.
        tile: height and width of a tile, or one number for both; at most the scene's.

    Raises:
        ConfigError: the tile is empty or larger than the scene.
    """
    tile_height, tile_width = (tile, tile) if isinstance(tile, int) else tile
    if not (0 < tile_height <= height and 0 < tile_width <= width):
        raise ConfigError(
            f"`tile`: expected from 1x1 to the scene's {height}x{width} pixels, "
            f"got {tile_height}x{tile_width}. Choose a smaller tile."
        )
    return [
        Window(top, left, min(tile_height, height - top), min(tile_width, width - left))
        for top in range(0, height, tile_height)
        for left in range(0, width, tile_width)
    ]


def deal_tiles(n_anomalous: Sequence[int], fractions: Sequence[float], *, seed: int) -> list[list[int]]:
    """Return the tile numbers of each split, ascending.

    Tiles with anomalies are dealt first, richest first, each to the split that lacks most of its
    fraction of the anomalous pixels; the others, shuffled, then fill the splits up to their fractions
    of the tiles. With as many (anomalous) tiles as splits, every split gets one.

    Args:
        n_anomalous: anomalous pixels of each tile.
        fractions: share of each split, summing to 1; 0 for a split that stays empty.
        seed: of the shuffle; a part of the split's definition, hence not the training's.
    """
    counts = np.asarray(n_anomalous)
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    rich_first = [int(i) for i in shuffled[np.argsort(-counts[shuffled], kind="stable")]]
    weights = np.asarray(fractions, dtype=np.float64)
    anomalous = [i for i in rich_first if counts[i] > 0]
    splits: list[list[int]] = [[] for _ in weights]
    lacking = weights * counts.sum()
    for position, i in enumerate(anomalous):
        empty = [s for s, share in enumerate(weights) if share > 0 and not splits[s]]
        # The last tiles go to the splits that have none yet.
        choice = empty if len(anomalous) - position <= len(empty) else np.flatnonzero(weights > 0).tolist()
        split = max(choice, key=lambda s: float(lacking[s]))
        splits[split].append(i)
        lacking[split] -= counts[i]
    wanted = weights * len(counts)
    for i in rich_first[len(anomalous) :]:
        empty = [s for s, share in enumerate(weights) if share > 0 and not splits[s]]
        choice = empty or np.flatnonzero(weights > 0).tolist()
        splits[max(choice, key=lambda s: float(wanted[s] - len(splits[s])))].append(i)
    return [sorted(split) for split in splits]


def strips(window: Window, max_rows: int) -> list[Window]:
    """Return a window cut into strips of at most so many rows, of equal height if that takes few more."""
    fewest = -(-window.height // max_rows)
    even = (n for n in range(fewest, 2 * fewest + 1) if window.height % n == 0)
    rows = -(-window.height // next(even, fewest))
    return [
        window._replace(top=window.top + start, height=min(rows, window.height - start))
        for start in range(0, window.height, rows)
    ]


def joined(windows: Sequence[Window], at_most: int) -> list[Window]:
    """Return windows row by row, up to so many of them that lie side by side as one."""
    runs: list[list[Window]] = []
    for window in sorted(windows):
        last = runs[-1][-1] if runs else None
        beside = last and window == last._replace(left=last.left + last.width, width=window.width)
        if beside and len(runs[-1]) < at_most:
            runs[-1].append(window)
        else:
            runs.append([window])
    return [run[0]._replace(width=sum(window.width for window in run)) for run in runs]


class TiledScene(CubeDataModule):
    """Serve one scene in tiles; a subclass says which scene.

    Tiles at the edges may be smaller; a batch that mixes sizes is padded with `valid=False` pixels.
    Only the mask is held in memory; a tile's pixels are read when it is drawn, and tiles of which a batch
    would take too much memory are drawn in strips, which stay in their tile's split.

    Args:
        tile: height and width of a tile, or one number for both; None: the scene as a whole.
        fractions: shares of train, val and test, summing to 1; None: all tiles are in each of them.
        split_seed: of the deal of tiles without anomalies; the training seed does not change the splits.
        max_batch_mb: what a batch of tiles may take, in MB of float32, but for strips of one row; None: as
            much as it does.

    The other arguments are those of `LoadingOptions`, but for `pad`, and of `ReadingOptions`.

    Raises:
        ConfigError: a value that is impossible.
    """

    def __init__(
        self,
        *,
        tile: int | Sequence[int] | None,
        fractions: Sequence[float] | None,
        split_seed: int,
        max_batch_mb: float | None = None,
        **options: Unpack[FileArguments],
    ) -> None:
        super().__init__(pad=True, **options)
        sides = None if tile is None else (tile, tile) if isinstance(tile, int) else tuple(tile)
        wrong_tile = sides is not None and (len(sides) != 2 or any(side < 1 for side in sides))
        shares = (1.0, 0.0, 0.0) if fractions is None else tuple(fractions)
        wrong_fractions = len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6
        refuse(
            type(self).__name__,
            {
                f"`tile` of one or two positive numbers, got {tile}": wrong_tile,
                f"`fractions` of three shares that sum to 1, got {list(shares)}": wrong_fractions,
                f"`split_seed` of 0 or more, got {split_seed}": split_seed < 0,
                f"`max_batch_mb` above 0, or None, got {max_batch_mb}": max_batch_mb is not None
                and not max_batch_mb > 0,
            },
        )
        self.tile = None if sides is None else (sides[0], sides[1])
        self.fractions = shares
        self.one_split = fractions is None
        self.split_seed = split_seed
        self.max_batch_mb = max_batch_mb

    @abstractmethod
    def find_scene(self) -> CubeItem:
        """Return the whole scene, with its mask.

        Raises:
            DatasetNotFoundError: it is not where it was looked for.
        """

    def find_items(self) -> SplitItems:
        """Return the scene's tiles, dealt to the splits."""
        scene = self.find_scene()
        size = open_item(scene, self.reading).shape
        tile = size[:2] if self.tile is None else self.tile
        windows = tile_windows(*size[:2], tile)
        counts = [0] * len(windows)
        if scene.mask is not None:
            mask = scene.mask(size[:2])
            scene = replace(scene, mask=partial(mask_in_memory, mask))
            counts = [int(np.ma.filled(mask[window.slices], 0).astype(bool).sum()) for window in windows]
        splits = deal_tiles(counts, self.fractions, seed=self.split_seed)
        for name, split in () if self.one_split else zip(SplitItems._fields, splits, strict=True):
            logger.info(
                "%s: %s has %d of %d tiles and %d of %d anomalous pixels.",
                *(type(self).__name__, name, len(split), len(windows)),
                *(sum(counts[i] for i in split), sum(counts)),
            )
        max_rows = self._max_rows(tile, size[2])
        cut = [[strip for i in split for strip in strips(windows[i], max_rows)] for split in splits]
        if self.one_split:
            cut = [cut[0]] * len(cut)
        return SplitItems(*(_tiles(scene, split) for split in cut))

    def in_file_order(self, items: Sequence[CubeItem]) -> list[CubeItem]:
        """Return tiles side by side as one, as many as a batch has: a line of the file is read less often.

        Each stays on its own where one that cannot be read is skipped, or its neighbours would be, too.
        """
        if not items or self.reading.on_error == "skip":
            return list(items)
        scene = replace(items[0], name=items[0].name.rpartition("[")[0])
        return _tiles(scene, joined([item.window for item in items if item.window], self.batch_size))

    def statistics_dataloader(self) -> CubeLoader:
        """Return the training pixels in file order, each read by one rank once, in batches of one window."""
        return self._loader("statistics", batch_size=1)

    def _max_rows(self, tile: tuple[int, int], n_bands: int) -> int:
        """How many rows of a tile a batch can hold, at least 1."""
        height, width = tile
        if self.max_batch_mb is None:
            return height
        max_rows = max(1, int(self.max_batch_mb * 1e6 / (4 * n_bands * width * self.batch_size)))
        if max_rows < height:
            logger.info(
                "%s: a batch of %d tiles of %dx%d pixels would take %.0f MB; tiles are read in strips of at "
                "most %d rows. Set `max_batch_mb` to change that.",
                *(type(self).__name__, self.batch_size, height, width),
                *(self.batch_size * height * width * n_bands * 4e-6, max_rows),
            )
        return min(max_rows, height)

    def scene(self) -> Batch:
        """Return the whole scene as a batch of one, for pictures and maps; it must fit into memory."""
        return self.read(self.find_scene())


def _tiles(scene: CubeItem, windows: Sequence[Window]) -> list[CubeItem]:
    """Windows of the scene as items."""
    return [
        replace(
            scene,
            name=f"{scene.name}[{w.top}:{w.top + w.height},{w.left}:{w.left + w.width}]",
            window=w,
        )
        for w in windows
    ]
