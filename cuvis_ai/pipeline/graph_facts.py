"""What is known of a graph: names of facts, and the facts in words."""

from collections.abc import Iterator

from cuvis_ai.data.sources.number_list import listed
from cuvis_ai.data.sources.scaling import Scaling
from cuvis_ai.node.base import FittedNode, hyperparameters
from cuvis_ai.pipeline.graph_members import Members
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.training.threshold import Threshold

_LONGEST = 200
"""Characters that are shown of an argument."""


def graph_facts(members: Members, bands: TrainedBands) -> Iterator[tuple[str, str]]:
    """Yield a graph's bands, halo, thresholds, arguments, and what its nodes say of their fit."""
    nodes = members.in_order()
    if not nodes:
        return
    if bands.wavelengths is not None:
        yield "bands", f"{len(bands.wavelengths)}, centred at {listed(bands.wavelengths)} nm"
    else:
        yield "bands", "wavelengths unknown"
    if bands.indices is not None:
        yield "bands of the files", listed(bands.indices)
    if bands.scale is not None and (bands.scale.applied or bands.scale.declared != Scaling()):
        yield "scale of the files", str(bands.scale)
    halo = members.execution.halo(tuple(members.topology.ends()))
    yield "context", "whole scenes" if halo is None else f"{halo} pixels around each"
    for name, node in nodes.items():
        stored = members.stored_threshold(name) if node.fitted else None
        rules = [one.leaf for one in members.attached(Threshold) if one.parent is node]
        if stored is not None:
            parameter = "" if not rules or rules[0].parameter is None else f" {rules[0].parameter:g}"
            rule = f" (rule {rules[0].rule}{parameter})" if rules else ""
            yield f"threshold of {name}", f"score > {stored:.6g}{rule}"
        elif rules:
            yield f"threshold of {name}", f"none yet (rule {rules[0].rule})"
    for name, module in (*nodes.items(), *members.leaves.items()):
        arguments = ", ".join(f"{key}={_short(value)}" for key, value in hyperparameters(module).items())
        if arguments:
            yield f"arguments of {name}", arguments
    for name, node in nodes.items():
        if isinstance(node, FittedNode) and node.fitted:
            for line in node.fit_report():
                yield f"fit of {name}", line


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
