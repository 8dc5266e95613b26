"""The plan of the statistical phase: the fewest passes over the training data that fit every node.

A node is fitted from a sketch of its input. Where the maps between a point further upstream and
that input carry the sketch exactly, it is taken there and carried along, so MinMax -> PCA -> RX is
one pass: extrema and moments of the cube, then D Σ D after the normalizer, W Σ Wᵀ after the PCA.
"""

from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import FittedNode, Node
from cuvis_ai.node.base.abilities import Decodes
from cuvis_ai.stats import Sketch
from cuvis_ai.types import Point


def plan(execution: Execution) -> list[list[str]]:
    """Return the passes that fit every unfitted node, as few as possible.

    Each is the nodes that are fitted at its end, in topological order: from sketches, or a single one
    by `initialize_from_data`.
    """
    nodes, ancestors = execution.nodes, execution.topology.ancestors
    pending = [
        name
        for name in execution.topology.order()
        if nodes[name].requires_initial_fit and not nodes[name].fitted
    ]
    passes = []
    while pending:
        fits: list[str] = []
        for name in pending:
            kind = sketch_of(nodes[name])
            if kind is None:
                continue
            point = fit_point(execution, name)
            ready = not ancestors(execution.base(point, kind.carried_by)) & set(pending)
            if ready and ancestors(point) & set(pending) <= set(fits):
                fits.append(name)
        # A node of the plain protocol gets a pass of its own, as soon as all before it are fitted.
        fits = fits or [
            next(name for name in pending if not ancestors(fit_point(execution, name)) & set(pending))
        ]
        passes.append(fits)
        pending = [name for name in pending if name not in fits]
    return passes


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
