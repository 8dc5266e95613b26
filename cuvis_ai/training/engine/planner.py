"""The plan of the statistical phase: the fewest passes over the training data that fit every node.

A node is fitted from a sketch of its input. Where the maps between a point further upstream and
that input carry the sketch exactly, it is taken there and carried along, so MinMax -> PCA -> RX is
one pass: extrema and moments of the cube, then D Σ D after the normalizer, W Σ Wᵀ after the PCA.
A node that weighs the pixels by its present state takes further passes, in which it is listed again.
"""

from collections.abc import Collection, Mapping, Sequence

from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import Decodes, FittedNode, Node, Selection, reweighting
from cuvis_ai.stats import Sketch
from cuvis_ai.types import Point


def plan(execution: Execution) -> list[list[str]]:
    """Return the passes that fit every unfitted node, as few as possible.

    Each is the nodes that are fitted at its end, in topological order: from sketches, or a single one
    by `initialize_from_data`. A node that is listed again is fitted again, from weighted pixels.
    """
    nodes, ancestors = execution.nodes, execution.topology.ancestors
    left = {
        name: 1 + reweighting(nodes[name])
        for name in execution.topology.order()
        if _is_to_be_fitted(nodes[name])
    }
    passes: list[list[str]] = []
    while left:
        fits = _ready(execution, left, started={name for fits in passes for name in fits})
        # A node of the plain protocol gets a pass of its own, as soon as all before it are fitted.
        fits = fits or [
            next(name for name in left if not ancestors(fit_point(execution, name)) & left.keys())
        ]
        passes.append(fits)
        left = {name: n - (name in fits) for name, n in left.items() if n > 1 or name not in fits}
    return passes


def _is_to_be_fitted(node: Node) -> bool:
    """Whether a node needs statistics: none are known, or not those beside what the user has written."""
    lacking = isinstance(node, Selection) and node.lacks_statistics()
    return node.requires_initial_fit and (lacking or not node.fitted)


def _ready(execution: Execution, left: Mapping[str, int], started: Collection[str]) -> list[str]:
    """Return the nodes that the next pass fits from sketches.

    Args:
        execution: the graph's nodes.
        left: nodes that are not fitted yet, and the passes that each still needs.
        started: those that have been fitted once.
    """
    ancestors = execution.topology.ancestors
    fits: list[str] = []
    for name in left:
        kind = sketch_of(execution.nodes[name])
        if kind is None:
            continue
        point = fit_point(execution, name)
        base = point if name in started else execution.base(point, kind.carried_by)
        done = {before for before in fits if left[before] == 1}
        if not ancestors(base) & left.keys() and ancestors(point) & left.keys() <= done:
            fits.append(name)
    return fits


def context_of(execution: Execution, fits: Sequence[str], refined: Collection[str]) -> int:
    """Return how many pixels around those that count a pass must see; 0 where a node needs whole cubes.

    Args:
        execution: the graph's nodes.
        fits: the nodes that the pass fits.
        refined: those of them that are fitted again.
    """
    reaches = []
    for name in fits:
        node, point = execution.nodes[name], fit_point(execution, name)
        kind = sketch_of(node)
        base = point if kind is None or name in refined else execution.base(point, kind.carried_by)
        halo = execution.halo(base)
        # Weights are all that is made of context while a node is fitted.
        reaches.append(0 if halo is None else halo + node.fit_halo * (name in refined))
    return max(reaches, default=0)


def from_sketches(execution: Execution, fits: list[str]) -> bool:
    """Return whether a pass takes sketches, from which nodes, and losses of the first pass, are fitted."""
    return all(sketch_of(execution.nodes[name]) is not None for name in fits)


def sketch_of(node: Node) -> type[Sketch] | None:
    """Return what a node is fitted from; None for a node of the plain protocol."""
    return node.sketch if isinstance(node, FittedNode) else None


def fit_point(execution: Execution, name: str) -> Point:
    """Return the point whose pixels a node is fitted to: its input, for a decoder after its encoder's."""
    node = execution.nodes[name]
    first = execution.input_of(node.decodes()) if isinstance(node, Decodes) else ()
    return (*first, *execution.input_of(name))
