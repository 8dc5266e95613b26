"""Scores of a scene, strip by strip with the context that the graph's windows need."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import structure_of
from cuvis_ai.pipeline.needed_part import needed_part
from cuvis_ai.pipeline.scene_reader import SceneReader
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.stats import Structure
from cuvis_ai.types import Batch

STRIP_BYTES = 64 << 20
"""What a strip takes as float32, its context included, unless a strip would have fewer rows than that."""


Refit = Callable[[Execution, Callable[[int], Iterable[Any]]], Execution]
"""Returns a graph fitted to other data, of which a pass is begun with so many pixels of context."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Computes the output of one node for windows of scenes.

    Attributes:
        execution: evaluates the graph.
        end: the node.
        halo: how many pixels away its output depends on the cube; None: on all of it.
    """

    execution: Execution
    end: str
    halo: int | None

    def strips(self, reader: SceneReader) -> list[Window]:
        """Return the strips of rows in which a scene is scored; it is one where the graph sees all of it."""
        h, w = reader.cube.shape[:2]
        if self.halo is None:
            return [reader.whole]
        in_all = STRIP_BYTES // (4 * w * len(reader.bands.kept))
        rows = max(1, self.halo, in_all - 2 * self.halo)
        return [Window(top, 0, min(rows, h - top), w) for top in range(0, h, rows)]

    def scores(
        self, reader: SceneReader, strips: Iterable[Window]
    ) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        """Yield strips and their scores (h, w, k), NaN at invalid pixels; the next is read meanwhile.

        Raises:
            GraphError: the scene holds no data in bands that the graph needs.
            CubeFormatError: it cannot be read, or holds no data at all.
        """
        for number, (strip, scores) in enumerate(self._scored(reader, list(strips))):
            if not number and np.isnan(scores).all():
                reader.require_data()
            yield strip, scores

    def _scored(
        self, reader: SceneReader, strips: Sequence[Window]
    ) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        if len(strips) == 1:  # nothing to read meanwhile; starting a thread costs as much as a small scene
            yield strips[0], self._score(reader, strips[0], self._read(reader, strips[0]))
            return
        with ThreadPoolExecutor(1) as thread:
            ahead: tuple[Window, Future[Batch]] | None = None
            for strip in chain(strips, (None,)):
                following = None if strip is None else (strip, thread.submit(self._read, reader, strip))
                if ahead is not None:
                    yield ahead[0], self._score(reader, ahead[0], ahead[1].result())
                ahead = following

    def refitted(self, refit: Refit, reader: SceneReader) -> Self:
        """Return a scorer whose statistics are fitted to all pixels of a scene."""
        fitted = refit(self.execution, partial(self._pass, reader))
        return replace(self, execution=Execution(fitted.topology, fitted.nodes, fixed=True))

    def _pass(self, reader: SceneReader, context: int) -> Iterator[Batch]:
        """Yield the strips of a scene with so many rows around them, `core` False there."""
        for strip in self.strips(reader):
            grown = strip.grown(context, reader.cube.shape[:2])
            batch = reader.batch(grown)
            if grown != strip:
                batch["core"] = torch.zeros(1, grown.height, grown.width, dtype=torch.bool)
                batch["core"][:, strip.top - grown.top :][:, : strip.height] = True
            yield batch

    def channels(self, reader: SceneReader) -> int:
        """Return how many channels the output has; a row is scored where only that can tell."""
        known = self.execution.channels((self.end,))
        if known is not None:
            return known
        row = reader.whole if self.halo is None else reader.whole._replace(height=1)
        scored = self._score(reader, row, self._read(reader, row))
        return int(scored.shape[2])

    def _grown(self, reader: SceneReader, strip: Window) -> Window:
        h, w = reader.cube.shape[:2]
        return strip.grown(self.halo or 0, (h, w))

    def _read(self, reader: SceneReader, strip: Window) -> Batch:
        # Products take pixels as they lie in the file; whatever else reads the cube is given them in rows.
        nodes, roots = self.execution.nodes, self.execution.topology.roots()
        products = all(structure_of(nodes[name]) is not Structure.OPAQUE for name in roots)
        return reader.batch(self._grown(reader, strip), as_stored=products)

    @torch.inference_mode()
    def _score(self, reader: SceneReader, strip: Window, batch: Batch) -> NDArray[np.float32]:
        device, dtype = self.execution.device, self.execution.dtype
        valid = batch["valid"].to(device) if "valid" in batch else None
        point = (self.end,)
        evaluation = self.execution.evaluate(batch["cube"].to(device, dtype), [point], valid)
        above = strip.top - self._grown(reader, strip).top
        scores = evaluation.masked(point)[0, :, above : above + strip.height]
        return np.ascontiguousarray(scores.permute(1, 2, 0).float().cpu().numpy())


def scorer_of(
    execution: Execution, end: str, bands: TrainedBands, *, all_bands: bool = False
) -> tuple[Scorer, TrainedBands]:
    """Return a scorer of one node, and the bands that it is to be given: those that the graph needs.

    Args:
        execution: evaluates the graph.
        end: the node.
        bands: those of training.
        all_bands: whether it is to be given all of them.
    """
    halo = execution.halo((end,))
    if not all_bands:
        execution, bands = needed_part(execution, bands)
    fixed = Execution(execution.topology, execution.nodes, fixed=True)
    return Scorer(execution=fixed, end=end, halo=halo), bands
