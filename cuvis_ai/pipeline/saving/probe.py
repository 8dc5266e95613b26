"""A fixed input and what a graph makes of it, to notice a saved graph that computes otherwise."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cuvis_ai.errors import GraphError
from cuvis_ai.execution.execution import Execution, called
from cuvis_ai.node.base import AffineNode, check_channels, follower
from cuvis_ai.node.base.agreement import check_state
from cuvis_ai.stats import Structure
from cuvis_ai.types import SOURCE, CubeTensor

# Loose: another machine's products may round otherwise; another graph is off by much more.
_TOLERANCE = 1e-3

_MOST_CHANNELS = 2**18
"""Channels that enter and leave all nodes together: an untrusted graph of few weights can have any number."""

_LARGEST_MAP = 2**22
"""Numbers in a composed map."""


def ramp(channels: int) -> Float[Tensor, " c"]:
    """Return the fixed input, a spectrum from −1 to 1, in float64."""
    return torch.linspace(-1.0, 1.0, channels, dtype=torch.float64)


def probe(execution: Execution) -> dict[str, Any] | None:
    """Return what the end nodes make of a fixed spectrum; None for a graph that cannot be tried.

    That is one that is not fitted, whose first node does not say how many channels it takes, whose
    channels are too many, or whose output is not finite.
    """
    order = execution.topology.order()
    if not order or not all(execution.nodes[name].fitted for name in order):
        return None
    root = execution.nodes[next(name for name in order if not execution.topology.parents[name])]
    if not isinstance(root, AffineNode) or root.structure is Structure.OPAQUE:
        return None
    outputs = _outputs(execution, root)
    if outputs is None or not all(torch.isfinite(output).all() for output in outputs.values()):
        return None
    listed = {name: output.double().flatten().tolist() for name, output in outputs.items()}
    return {"channels": root.affine().in_channels, "outputs": listed}


def check_probe(execution: Execution, expected: Mapping[str, Any] | None) -> None:
    """Raise a `GraphError` if weights have another shape than promised, or the graph computes otherwise."""
    for name, node in execution.nodes.items():
        check_state(name, node)
    found = probe(execution)
    if expected is None:
        return
    if found is None or found["channels"] != expected["channels"]:
        raise GraphError("probe: the graph takes other channels than when it was saved.")
    for name, values in found["outputs"].items():
        got = torch.tensor(values, dtype=torch.float64)
        stored = torch.tensor(expected["outputs"].get(name, []), dtype=torch.float64)
        close = got.shape == stored.shape and bool(
            ((got - stored).abs() <= _TOLERANCE * stored.abs().max()).all()
        )
        if not close:
            raise GraphError(f"node `{name}` gives another output than when it was saved.")


def _outputs(execution: Execution, root: AffineNode) -> dict[str, CubeTensor] | None:
    """Return what the end nodes make of a ramp, node by node; None for too many channels.

    No maps are composed: a decoder and its encoder make a matrix of channels × channels. The exception is
    the map upstream of a node that derives its statistics, whose size is known before.
    """
    center = root.affine().center.detach()
    spectrum = ramp(len(center)).to(center.device, center.dtype)
    values, total = {SOURCE: spectrum[None, :, None, None]}, 0
    with torch.no_grad():
        for name in execution.topology.order():
            point = execution.topology.input_of(name)
            entering = sum(values[parent].shape[1] for parent in point)
            total += entering
            if total > _MOST_CHANNELS:
                return None
            cube = torch.cat([values[parent] for parent in point], 1)
            if follower(execution.nodes[name]) is None:
                values[name] = called(execution.nodes[name], cube)
            elif (derived := _derived(execution, name, cube, values)) is not None:
                values[name] = derived
            else:
                return None
            total += values[name].shape[1]
    return {name: values[name] for name in execution.topology.ends()}


def _derived(
    execution: Execution, name: str, cube: CubeTensor, values: Mapping[str, CubeTensor]
) -> CubeTensor | None:
    """Return the output of a node that derives its statistics, as in use; None for too large a map to it."""
    node = execution.nodes[name]
    assert isinstance(node, AffineNode)
    check_channels(node, node.affine().in_channels, cube.shape[1])  # so its covariance is one that is stored
    channels = sum(values[parent].shape[1] for parent in execution.base(execution.input_of(name)))
    widest = max(value.shape[1] for value in values.values())
    if widest * channels > max(_LARGEST_MAP, channels**2):
        return None
    # From the point before it: that the node's own map alone is taken in.
    affine = execution.affine((name,), execution.input_of(name), cube.shape[1])
    assert affine is not None
    return affine.to(cube.dtype).on_cube(cube, node.pointwise)
