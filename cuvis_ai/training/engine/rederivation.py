"""Statistics downstream of a choice of bands, derived again from its moments when the choice changes."""

import torch

from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import (
    AffineNode,
    Decodes,
    FittedNode,
    Node,
    Selection,
    class_of,
    follower,
    has_pointwise,
    hyperparameters,
)
from cuvis_ai.stats import Moments, Structure
from cuvis_ai.types import CUBE, Point


def downstream(execution: Execution, name: str) -> list[str]:
    """Return the nodes that depend on one, in order."""
    ancestors = execution.topology.ancestors
    return [other for other in execution.topology.order() if other != name and name in ancestors((other,))]


@torch.no_grad()
def derive_downstream(execution: Execution, name: str) -> list[str]:
    """Derive the frozen statistics after a choice of bands from its moments; trained weights stay.

    Returns:
        Fitted nodes whose statistics cannot be derived, being past a node that is not affine, or others than
        mean and covariance: they stay as they were.
    """
    selection = execution.nodes[name]
    assert isinstance(selection, Selection)
    start, moments = execution.input_of(name), selection.moments()
    left: list[str] = []
    for child in downstream(execution, name):
        node = execution.nodes[child]
        if not isinstance(node, FittedNode) or node.sketch is None or follower(node) is not None:
            continue
        point = execution.input_of(child)
        if node.sketch is not Moments or isinstance(node, Decodes) or not _reaches(execution, point, start):
            left.append(child)
            continue
        path = execution.affine(point, start)
        if not _finalize(node, moments if path is None else moments.through(path)):
            left.append(child)
    return left


def _reaches(execution: Execution, point: Point, start: Point) -> bool:
    """Whether affine maps alone lead from `start` to `point`."""
    if point == start:
        return True
    if point == CUBE:
        return False
    if len(point) > 1:
        return all(_reaches(execution, (one,), start) for one in point)
    node = execution.nodes[point[0]]
    if not isinstance(node, AffineNode) or node.structure < Structure.DENSE or has_pointwise(node):
        return False
    return _reaches(execution, execution.input_of(point[0]), start)


def _finalize(node: Node, sketch: Moments) -> bool:
    """Fit the part of a node that is not trained; return whether that goes with the part that is."""
    fresh = class_of(node)(**hyperparameters(node))
    assert isinstance(fresh, FittedNode)
    assert isinstance(node, FittedNode)
    fresh.name = node.name
    kept = getattr(node, next(iter(node.state_shapes)))
    fresh.to(kept.dtype).finalize(sketch)
    trained = {one.partition(".")[0] for one, _ in node.named_parameters()}
    trained |= set(node.trained_names) if "parametrizations" in trained else set()
    if any(getattr(fresh, one).shape != getattr(node, one).shape for one in trained & set(node.state_shapes)):
        return False  # of another rank
    node.set_state(**{one: getattr(fresh, one) for one in node.state_shapes if one not in trained})
    return True
