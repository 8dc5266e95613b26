"""Which channels of the cube a graph needs, and the same graph on these alone."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import AffineNode, Node, Selection, freeze, has_pointwise
from cuvis_ai.stats import Structure

SPECTRAL = frozenset("cmp")
"""Letters of the axes of state that run along the spectrum."""


def needed_channels(execution: Execution) -> list[int] | None:
    """Return the channels of the cube that reach an end of the graph; None where all do, or it is not known.

    Those of hard choices of bands, with channelwise nodes before them: whatever else reads the cube, directly
    or through such nodes, mixes its bands or hands them on, and needs all.
    """
    needed = _union([_needed_by(execution, root) for root in execution.topology.roots()])
    return sorted(needed or ()) or None


def _needed_by(execution: Execution, name: str) -> set[int] | None:
    node = execution.nodes[name]
    if isinstance(node, Selection):
        chosen = node.needed_channels()
        return None if chosen is None else set(chosen)
    children = execution.topology.children(name)
    if not (children and _is_sliceable(node)):
        return None
    alone = [child for child in children if len(execution.input_of(child)) == 1]
    return _union([_needed_by(execution, child) for child in alone]) if alone == children else None


def _union(parts: Sequence[set[int] | None]) -> set[int] | None:
    """Return all channels of the parts; None where one part needs all."""
    known = [part for part in parts if part is not None]
    return set().union(*known) if len(known) == len(parts) else None


def channels_read(execution: Execution) -> int | None:
    """Return how many channels the cube has, as the nodes that read it know; None if they do not."""
    known = [execution.nodes[name] for name in execution.topology.roots()]
    counts = {
        node.affine().in_channels
        for node in known
        if isinstance(node, AffineNode) and node.structure is not Structure.OPAQUE and node.fitted
    }
    return counts.pop() if len(counts) == 1 else None


def _is_sliceable(node: Node) -> bool:
    channelwise = isinstance(node, AffineNode) and node.structure is Structure.CHANNELWISE and node.fitted
    spectral = all(set(axes.split()) <= {"c"} for axes in node.state_shapes.values())
    return channelwise and spectral and isinstance(node, AffineNode) and not has_pointwise(node)


def sliced(execution: Execution, channels: list[int], of: int) -> Execution:
    """Return an execution that takes cubes of some channels and gives what the whole graph gives of all.

    Args:
        execution: the whole graph's.
        channels: what `needed_channels` returned.
        of: channels of the whole cube.
    """
    nodes = dict(execution.nodes)
    pending = list(execution.topology.roots())
    while pending:
        name = pending.pop()
        nodes[name] = _sliced_node(execution.nodes[name], channels, of)
        if not isinstance(nodes[name], Selection):
            pending += execution.topology.children(name)
    return Execution(execution.topology, nodes)


def _sliced_node(node: Node, channels: list[int], of: int) -> Node:
    """Return a copy of a node on some of its channels."""
    part = copy.deepcopy(node)
    freeze(part)

    def taken(value: Tensor, axes: str) -> Tensor:
        for axis, letter in enumerate(axes.split()):
            if letter in SPECTRAL and value.shape[axis] == of:
                value = value.index_select(axis, torch.tensor(channels, device=value.device))
        return value

    part.set_state(**{name: taken(getattr(part, name), axes) for name, axes in part.state_shapes.items()})
    return part
