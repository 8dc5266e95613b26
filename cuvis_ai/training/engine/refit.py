"""Statistics fitted to other data, in copies of a graph's nodes."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

from cuvis_ai.errors import GraphError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import reset
from cuvis_ai.training.engine.planner import sketch_of
from cuvis_ai.training.engine.statistics import fit_statistics


def refitted(execution: Execution, batches: Callable[[int], Iterable[Any]]) -> Execution:
    """Return the same graph with its statistics fitted to other data; the graph itself stays as it is.

    Args:
        execution: the graph's, fitted.
        batches: starts a pass over the data, as for `fit_statistics`.

    Raises:
        GraphError: a node has weights from masks or from gradients, or the data do not fit the graph.
    """
    for node in execution.nodes.values():
        kind = sketch_of(node) if node.requires_initial_fit else None
        if node.trainable or (kind is not None and kind.sees_truth):
            source = "gradients" if node.trainable else "masks"
            raise GraphError(
                f"{node.label}: expected statistics that a scene alone gives, got weights from {source}, "
                "which refitting would lose. Predict without `refit`."
            )
    nodes = copy.deepcopy(dict(execution.nodes))  # together, since some refer to others
    for node in nodes.values():
        if node.requires_initial_fit:
            reset(node)
    other = Execution(execution.topology, nodes)
    fit_statistics(other, [], batches, execution.device, show_progress=False)
    return other
