"""Passes in which nodes are fitted again, from pixels that they weigh by their present state."""

from collections.abc import Collection

import torch

from cuvis_ai.errors import GraphError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf.reading import Evaluation
from cuvis_ai.node.base import Reweights
from cuvis_ai.stats import WeightedMoments, merged_over_ranks
from cuvis_ai.types import Point


class Reweighting:
    """Takes the weighted moments of one pass.

    Args:
        execution: the graph's nodes.
        names: the nodes that are fitted again.
    """

    def __init__(self, execution: Execution, names: Collection[str]) -> None:
        self.execution = execution
        self._moments = {name: WeightedMoments() for name in names}

    def points(self) -> tuple[Point, ...]:
        """Where values are read: what enters the nodes."""
        return tuple(dict.fromkeys(self.execution.input_of(name) for name in self._moments))

    def update(self, evaluation: Evaluation) -> None:
        """Take in a batch."""
        for name, moments in self._moments.items():
            cube = evaluation.values[self.execution.input_of(name)]
            everywhere = torch.ones(cube.shape[0], *cube.shape[2:], dtype=torch.bool, device=cube.device)
            valid = everywhere if evaluation.valid is None else evaluation.valid
            weights = _reweights(self.execution, name).weights(cube, valid)
            if evaluation.counted is not None:
                weights = torch.where(evaluation.counted, weights, 0.0)
            moments.update_weighted(pixels_of(cube), weights.flatten())

    def finish(self) -> None:
        """Fit the nodes; all ranks call this at the same time."""
        for name, moments in self._moments.items():
            whole = merged_over_ranks(moments)
            if whole.count == 0:
                raise GraphError(
                    f"{self.execution.nodes[name].label}: expected a pixel with a weight above 0, got none. "
                    f"Look for extreme values in the training data."
                )
            _reweights(self.execution, name).refine(whole)


def _reweights(execution: Execution, name: str) -> Reweights:
    node = execution.nodes[name]
    assert isinstance(node, Reweights)
    return node
