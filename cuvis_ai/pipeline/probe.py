"""A fixed input and what a graph makes of it, to notice a saved graph that computes otherwise.

May import: `types`, `errors`, `stats`, `node.base`, `pipeline.execution`.
"""

from collections.abc import Mapping
from typing import Any

import torch

from cuvis_ai.errors import GraphError
from cuvis_ai.pipeline.execution import Execution
from cuvis_ai.stats import Structure

# Loose: another machine's products may round otherwise; another graph is off by much more.
_TOLERANCE = 1e-3


def probe(execution: Execution) -> dict[str, Any] | None:
    """Return what the end nodes make of a fixed spectrum; None for a graph that cannot be run yet."""
    order = execution.topology.order()
    if not order or not all(execution.nodes[name].fitted for name in order):
        return None
    root = execution.nodes[order[0]]
    if root.structure is Structure.OPAQUE:
        return None  # it does not say how many channels it takes
    channels = root.affine().in_channels
    return {"channels": channels, "outputs": _outputs(execution, channels)}


def check_probe(execution: Execution, expected: Mapping[str, Any] | None) -> None:
    """Raise a `GraphError` if weights have another shape than promised, or the graph computes otherwise."""
    for name, node in execution.nodes.items():
        if node.structure is Structure.OPAQUE or node.has_head or not node.fitted:
            continue
        affine = node.affine()
        promised = node.out_channels(affine.in_channels)
        if promised not in (None, affine.out_channels):
            raise GraphError(
                f"node `{name}`: expected weights for {promised} channels, got {affine.out_channels}."
            )
    if expected is None:
        return
    for name, values in _outputs(execution, int(expected["channels"])).items():
        got, kept = torch.tensor(values), torch.tensor(expected["outputs"][name])
        close = got.shape == kept.shape and bool(((got - kept).abs() <= _TOLERANCE * kept.abs().max()).all())
        if not close:
            raise GraphError(f"node `{name}` gives another output than when it was saved.")


def _outputs(execution: Execution, channels: int) -> dict[str, list[float]]:
    state = next(tensor for node in execution.nodes.values() for tensor in node.state_dict().values())
    ramp = torch.linspace(-1.0, 1.0, channels, dtype=torch.float64).to(state.device, state.dtype)
    ends = [(name,) for name in execution.topology.ends()]
    with torch.no_grad():
        values = execution.evaluate(ramp[None, :, None, None], ends).values
    return {end[0]: values[end].double().flatten().tolist() for end in ends}
