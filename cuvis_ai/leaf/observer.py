"""Sketches of what passes the points of a graph, each taken once for all who need it.

A sketch is taken at the furthest point upstream from which the maps to the point that is meant carry it
exactly, and carried along when it is read. Statistics, metrics and pictures all observe by this class.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from cuvis_ai.functional.affine import pixel_matrices, pixels_of
from cuvis_ai.leaf.reading import Evaluation, Paths, Truth
from cuvis_ai.leaf.scene_regions import SceneRegions
from cuvis_ai.stats import Moments, MomentsByClass, Sketch, Structure, merged_over_ranks, update_all
from cuvis_ai.stats.blocks import in_shares
from cuvis_ai.types import PixelMask, PixelMatrix, Point

Kind = Callable[[], Sketch]


@dataclass(frozen=True)
class Observed:
    """A sketch that was asked for.

    Attributes:
        point: what it is a sketch of.
        base: where it is taken.
        kind: makes an empty one.
        truth: whether it sees which pixels are anomalies.
    """

    point: Point
    base: Point
    kind: Kind
    truth: Truth


_Key = tuple[Point, Kind, Truth]


class Observer:
    """Takes the sketches of one stream of batches.

    Args:
        paths: how the graph's points are connected.
    """

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        # For each sketch that is taken its parts, one a thread.
        self._parts: dict[_Key, list[Sketch]] = {}
        self._regions = SceneRegions()
        # For each sketch that weighs regions the pixels of those that other tiles may add to.
        self._withheld: dict[_Key, list[PixelMatrix]] = {}

    def observe(
        self,
        point: Point,
        kind: Kind,
        *,
        truth: Truth = Truth.UNUSED,
        least: Structure = Structure.OPAQUE,
    ) -> Observed:
        """Ask for a sketch, before the first batch.

        Args:
            point: what it is a sketch of.
            kind: makes an empty one.
            truth: whether it sees which pixels are anomalies.
            least: the most general maps it is carried along; by default all that carry it exactly.
        """
        empty = kind()
        base = self.paths.base(point, max(empty.carried_by, least))
        self._parts.setdefault((base, kind, truth), [empty])
        return Observed(point, base, kind, truth)

    def points(self) -> tuple[Point, ...]:
        """Where the sketches are taken."""
        return tuple(dict.fromkeys(base for base, _, _ in self._parts))

    @torch.no_grad()
    def update(self, evaluation: Evaluation, batch: Mapping[str, Any]) -> None:
        """Take in a batch; sketches that need the truth pass over a batch without a mask.

        Where a batch says by `window` and `name` which tiles make a scene, sketches that are told the truth
        count each pixel of the scene once, and a region of anomalies that lies in several tiles is one.
        """
        for point in self.points():
            if (
                _by_class(point) in self._parts
            ):  # a scatter is most of a pass: that of all pixels is their sum
                self._parts.pop((point, Moments, Truth.UNUSED), None)
        mask = batch.get("mask")
        told = [key for key in self._parts if key[2] is not Truth.UNUSED]
        truth = self._regions.truth(mask, evaluation, batch) if told and mask is not None else None
        counted: dict[_Key, PixelMask | None] = dict.fromkeys(self._parts, evaluation.counted)
        for key in told:
            if truth is not None:
                counted[key] = truth.complete if self._weighs(key) else truth.counted
            elif key[2] is Truth.REQUIRED:
                del counted[key]
        # Sketches that count the same pixels of a point are taken together.
        together: dict[tuple[Point, int], list[_Key]] = {}
        for key, pixels_counted in counted.items():
            together.setdefault((key[0], id(pixels_counted)), []).append(key)
        for (point, _), keys in together.items():
            flags = (counted[keys[0]], None if truth is None else truth.weights)
            matrices = pixel_matrices(evaluation.values[point])
            for i, pixels in enumerate(matrices):
                self._take(keys, pixels, *(_matrix(x, i, len(matrices)) for x in flags))
        if truth is not None and truth.open is not None:
            self._withhold([key for key in told if self._weighs(key)], evaluation, truth.open)

    def _weighs(self, key: _Key) -> bool:
        return self._parts[key][0].weighs_regions

    def _withhold(self, keys: list[_Key], evaluation: Evaluation, chosen: PixelMask) -> None:
        """Hold pixels until the weights of their regions are known."""
        for key in keys:
            rows = pixels_of(evaluation.values[key[0]])
            self._withheld.setdefault(key, []).append(rows[chosen.flatten().to(rows.device)])

    def _take(
        self, keys: list[_Key], pixels: PixelMatrix, valid: Tensor | None, truth: Tensor | None
    ) -> None:
        divided = [key for key in keys if self._parts[key][0].divisible]

        def take(i: int, share: slice) -> None:
            flags = (None if x is None else x[share] for x in (valid, truth))
            update_all([self._parts[key][i] for key in divided], pixels[share], *flags)

        if divided:
            for key in divided:
                missing = torch.get_num_threads() - len(self._parts[key])
                self._parts[key] += [key[1]() for _ in range(missing)]
            in_shares(take, pixels)
        whole = [self._parts[key][0] for key in keys if key not in divided]
        if whole:
            update_all(whole, pixels, valid, truth)

    def finish(self) -> None:
        """Put the parts of all threads and ranks together; all ranks call this at the same time."""
        if any(key[2] is not Truth.UNUSED and self._weighs(key) for key in self._parts):
            weights, here = self._regions.weights()
            for key, withheld in self._withheld.items():
                pixels = torch.cat(withheld)
                self._parts[key][0].update(pixels[here.to(pixels.device)], None, weights[here])
            self._withheld = {}
        self._parts = {
            key: [merged_over_ranks(reduce(lambda a, b: a.merge(b), parts))]
            for key, parts in self._parts.items()
        }

    def put(self, observed: Observed, sketch: Sketch) -> None:
        """Let a sketch that was taken elsewhere stand for the one that was asked for."""
        self._parts[observed.base, observed.kind, observed.truth] = [sketch]

    def taken(self, observed: Observed) -> Sketch:
        """Return a sketch as it was taken, at its base, after `finish`."""
        by_class = self._parts.get(_by_class(observed.base))
        if by_class and (observed.kind, observed.truth) == (Moments, Truth.UNUSED):
            assert isinstance(by_class[0], MomentsByClass)
            return by_class[0].whole()
        return self._parts[observed.base, observed.kind, observed.truth][0]

    def sketch(self, observed: Observed) -> Sketch:
        """Return a sketch of the point that is meant, after `finish`."""
        sketch = self.taken(observed)
        if sketch.count == 0:
            return sketch
        affine = self.paths.affine(observed.point, observed.base, sketch.channels)
        return sketch if affine is None else sketch.through(affine)


def _by_class(point: Point) -> _Key:
    return point, MomentsByClass, Truth.USED


def _matrix(flags: Tensor | None, i: int, n: int) -> Tensor | None:
    """Return the flags of the i-th of n matrices of pixels."""
    return None if flags is None else flags.reshape(n, -1)[i]
