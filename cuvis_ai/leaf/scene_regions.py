"""Anomalous regions that lie across the tiles of a scene, put together from all of them."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.regions import open_regions, region_sizes, region_weights
from cuvis_ai.leaf.reading import Evaluation, intersection
from cuvis_ai.stats.ranks import of_all_ranks, this_rank
from cuvis_ai.types import PixelMask

_WINDOW = re.compile(r"\[\d+:\d+,\d+:\d+\]$")

Places = NDArray[np.int64]
"""Row and column of pixels in their scene (n, 2)."""

_Window = tuple[int, int, int, int]
"""Row, column, height and width."""

Rectangle = tuple[int, int, int, int]
"""First row and column, and those after the last."""


class RegionTruth(NamedTuple):
    """What a batch says of its pixels' classes."""

    weights: Float[Tensor, "b h w"]
    """0 at normal pixels, 1 / size of its region at anomalies, above 0 where the size is not known yet."""
    counted: PixelMask | None
    """False at pixels that do not count, or were counted in an earlier tile; None if all count."""
    open: PixelMask | None
    """Counted anomalies whose region may go on in another tile; None where tiles have no scene."""
    complete: PixelMask | None
    """Counted pixels without those; None if all are."""


class SceneRegions:
    """Gathers the anomalous pixels of regions that several tiles may share, until all tiles are seen.

    Regions that lie inside a tile are complete at once; of the others, the places of their pixels are held.
    A pixel of a scene counts once on this rank, whichever tiles show it; an anomaly once on all ranks, if it
    is of a region at a tile's edge.
    """

    def __init__(self) -> None:
        self._seen: dict[str, list[Rectangle]] = {}
        self._open: list[tuple[str, Places]] = []

    def truth(self, mask: PixelMask, evaluation: Evaluation, batch: Mapping[str, Any]) -> RegionTruth:
        """Take in a batch's mask; without `window` and `name`, each cube's regions are its own."""
        counted, names = evaluation.counted, batch.get("name")
        if batch.get("window") is None or names is None:
            return RegionTruth(region_weights(mask, counted), counted, None, counted)
        windows = checked_windows(batch["window"], tuple(mask.shape))
        scenes = [scene_of(name) for name in names]
        counted = intersection(counted, self._unseen(mask, evaluation.core, scenes, windows))
        is_open = open_regions(mask, counted, [(height, width) for _, _, height, width in windows])
        for scene, (top, left, _, _), tile in zip(scenes, windows, is_open, strict=True):
            self._open.append((scene, np.argwhere(tile) + np.array([top, left])))
        open_here = torch.from_numpy(is_open).to(mask.device)
        return RegionTruth(
            region_weights(mask, counted), counted, open_here, intersection(counted, ~open_here)
        )

    def _unseen(
        self, mask: PixelMask, core: PixelMask | None, scenes: list[str], windows: list[_Window]
    ) -> PixelMask | None:
        """Return False at pixels of earlier tiles; None if there is none. Notes the tiles."""
        unseen: PixelMask | None = None
        for i, (scene, (top, left, height, width)) in enumerate(zip(scenes, windows, strict=True)):
            inner = (0, 0, height, width) if core is None else extent_of(core[i])
            here = (top + inner[0], left + inner[1], top + inner[2], left + inner[3])
            earlier = self._seen.setdefault(scene, [])
            for first_row, first_column, end_row, end_column in _overlapping(here, earlier):
                unseen = torch.ones_like(mask) if unseen is None else unseen
                rows = slice(max(first_row - top, 0), max(end_row - top, 0))
                unseen[i, rows, max(first_column - left, 0) : max(end_column - left, 0)] = False
            earlier.append(here)
        return unseen

    def weights(self) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
        """Return the weight of each anomaly that was held, in order, and whether it counts on this rank.

        All ranks call this at the same time; afterwards none is held.
        """
        ranks, self._open = of_all_ranks(self._open), []
        mine = ranks[this_rank()]
        weights = np.ones(sum(len(places) for _, places in mine))
        counts = np.zeros(len(weights), dtype=bool)
        for scene in dict.fromkeys(scene for chunks in ranks for scene, _ in chunks):
            places: list[Places] = []
            owned: list[NDArray[np.int64]] = []
            for rank, chunks in enumerate(ranks):
                start = 0
                for name, chunk in chunks:
                    if name == scene:
                        places.append(chunk)
                        numbers = np.arange(start, start + len(chunk))
                        owned.append(numbers if rank == this_rank() else np.full(len(chunk), -1))
                    start += len(chunk)
            distinct, first = np.unique(np.concatenate(places), axis=0, return_index=True)
            if len(distinct) == 0:
                continue
            numbers = np.concatenate(owned)[first]
            here = numbers >= 0
            weights[numbers[here]] = 1.0 / region_sizes(distinct)[here]
            counts[numbers[here]] = True
        return torch.from_numpy(weights), torch.from_numpy(counts)


def scene_of(tile: str) -> str:
    """Return the name of the scene that a tile's name begins with."""
    return _WINDOW.sub("", tile)


def extent_of(core: Bool[Tensor, "h w"]) -> Rectangle:
    """Return the rectangle that counts of a tile with context."""
    inside = core.nonzero()
    if len(inside) == 0:
        return 0, 0, 0, 0
    (first_row, first_column), (last_row, last_column) = inside.amin(0).tolist(), inside.amax(0).tolist()
    return first_row, first_column, last_row + 1, last_column + 1


def _overlapping(one: Rectangle, others: list[Rectangle]) -> list[Rectangle]:
    """Return those of the rectangles that meet one."""
    if not others:
        return []
    top, left, bottom, right = np.asarray(others).T
    met = (top < one[2]) & (one[0] < bottom) & (left < one[3]) & (one[1] < right)
    return [others[i] for i in np.flatnonzero(met)]


def checked_windows(window: object, size: tuple[int, ...]) -> list[_Window]:
    """Return row, column, height and width of each cube of a batch of `size` (b, h, w).

    Raises:
        GraphError: they are not that.
    """
    b, h, w = size
    if isinstance(window, Tensor) and tuple(window.shape) == (b, 4) and not window.is_floating_point():
        rows = [(row, column, height, width) for row, column, height, width in window.tolist()]
        if all(min(row) >= 0 and 0 < row[2] <= h and 0 < row[3] <= w for row in rows):
            return rows
    got = window.tolist() if isinstance(window, Tensor) else type(window).__name__
    raise GraphError(
        f"window: expected whole numbers ({b}, 4), row, column, height and width of each cube in its scene, "
        f"at most {h} high and {w} wide, got {got}. Leave the key out where cubes are no tiles."
    )
