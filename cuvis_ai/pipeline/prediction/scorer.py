"""Scores of a scene by a graph."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import structure_of
from cuvis_ai.pipeline.needed_part import needed_part
from cuvis_ai.pipeline.prediction.strip_scorer import StripScorer
from cuvis_ai.pipeline.scene_batch import scene_batch
from cuvis_ai.pipeline.scene_reader import SceneReader
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.stats import Structure
from cuvis_ai.types import Batch

Refit = Callable[[Execution, Callable[[int], Iterable[Any]]], Execution]
"""Returns a graph fitted to other data, of which a pass is begun with so many pixels of context."""


@dataclass(frozen=True, kw_only=True)
class Scorer(StripScorer[Batch]):
    """Computes the output of one node for windows of scenes.

    Attributes:
        execution: evaluates the graph.
        end: the node.
    """

    execution: Execution
    end: str

    @cached_property
    def _like(self) -> Tensor:
        """A tensor of the device and dtype that cubes must have."""
        return torch.empty(0, device=self.execution.device, dtype=self.execution.dtype)

    @override
    def refitted(self, refit: Refit, reader: SceneReader) -> Self:
        """Return a scorer whose statistics are fitted to all pixels of a scene."""
        fitted = refit(self.execution, partial(self._pass, reader))
        return replace(self, execution=Execution(fitted.topology, fitted.nodes, fixed=True))

    def _pass(self, reader: SceneReader, context: int) -> Iterator[Batch]:
        """Yield the strips of a scene with so many rows around them, `core` False there."""
        for strip in self.strips(reader):
            grown = strip.grown(context, reader.cube.shape[:2])
            batch = scene_batch(reader, grown)
            if grown != strip:
                batch["core"] = torch.zeros(1, grown.height, grown.width, dtype=torch.bool)
                batch["core"][:, strip.top - grown.top :][:, : strip.height] = True
            yield batch

    @override
    def channels(self, reader: SceneReader) -> int:
        """Return how many channels the output has; a row is scored where only that can tell."""
        known = self.execution.channels((self.end,))
        if known is not None:
            return known
        row = reader.whole if self.halo is None else reader.whole._replace(height=1)
        scored = self._score(reader, row, self._read(reader, row))
        return int(scored.shape[2])

    @override
    def _read(self, reader: SceneReader, strip: Window) -> Batch:
        # Products take pixels as they lie in the file; whatever else reads the cube is given them in rows.
        nodes, roots = self.execution.nodes, self.execution.topology.roots()
        products = all(structure_of(nodes[name]) is not Structure.OPAQUE for name in roots)
        return scene_batch(reader, self._grown(reader, strip), as_stored=products)

    @override
    @torch.inference_mode()
    def _score(self, reader: SceneReader, strip: Window, batch: Batch) -> NDArray[np.float32]:
        valid = batch["valid"].to(self._like.device) if "valid" in batch else None
        point = (self.end,)
        evaluation = self.execution.evaluate(batch["cube"].to(self._like), [point], valid)
        scores = evaluation.masked(point)[0].permute(1, 2, 0).float().cpu().numpy()
        return np.ascontiguousarray(scores[self._core(reader, strip)])


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
