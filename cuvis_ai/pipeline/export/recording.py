"""What a node computes, recorded on examples of two sizes and written into an ONNX graph."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from cuvis_ai.pipeline.export.aten_operators import TRANSLATORS, Operands
from cuvis_ai.pipeline.export.onnx_graph import OnnxGraph

SIZES = ((2, 5, 6), (3, 8, 10))
"""Cubes, rows and columns of the examples; what differs between them depends on the size."""


class NotRecordableError(Exception):
    """A function has an operator without a translation, or depends on the size or the values of its input."""


def examples(size: tuple[int, int, int], channels: int, flags: bool) -> tuple[Tensor, ...]:
    """Return a cube, and where it is asked for the flags of its valid pixels."""
    b, h, w = size
    cube = torch.linspace(0.1, 1.0, b * channels * h * w).reshape(b, channels, h, w)
    return (cube, torch.ones(b, h, w, dtype=torch.bool)) if flags else (cube,)


def record(function: Callable[..., Tensor], channels: int, inputs: Sequence[str], graph: OnnxGraph) -> str:
    """Write a function of a cube (b, c, h, w), and of flags (b, h, w) as a second input; return its output.

    Raises:
        NotRecordableError: it has to be traced by torch's exporter.
    """
    recorded = [_recorded(function, examples(size, channels, len(inputs) > 1)) for size in SIZES]
    drafts = [OnnxGraph() for _ in SIZES]
    outputs = [_translated(*pair, inputs) for pair in zip(recorded, drafts, strict=True)]
    if outputs[0] != outputs[1] or drafts[0].content != drafts[1].content:
        raise NotRecordableError("what it computes depends on the number of pixels")
    return _translated(recorded[0], graph, inputs)


def _recorded(function: Callable[..., Tensor], given: tuple[Tensor, ...]) -> fx.GraphModule:
    try:
        with torch.no_grad():
            # In a lambda, since a bound method's `self` would be counted as an argument.
            recorded: fx.GraphModule = make_fx(torch.func.functionalize(lambda *a: function(*a)))(*given)
    except Exception as err:  # any function of a user's: whatever it raises, it cannot be recorded
        raise NotRecordableError(str(err)) from err
    return recorded


def _translated(recorded: fx.GraphModule, graph: OnnxGraph, inputs: Sequence[str]) -> str:
    """Write what was recorded into a graph; return the name of its output."""
    values: dict[fx.Node, Any] = {}
    left = iter(inputs)
    for node in recorded.graph.nodes:
        if node.op == "placeholder":
            values[node] = next(left)
        elif node.op == "get_attr":
            values[node] = graph.constant(getattr(recorded, str(node.target)).detach().numpy())
        elif node.op == "output":
            output: str = values[node.args[0]]
        elif node.users:
            values[node] = _operator(node, values, graph)
    return output


def _operator(node: fx.Node, values: Mapping[fx.Node, Any], graph: OnnxGraph) -> Any:
    if not isinstance(node.target, torch._ops.OpOverload):  # an item of a list of tensors
        of, index = node.args
        assert isinstance(of, fx.Node)
        value, axis = values[of]
        return graph.op("Gather", value, graph.constant(index, "i8"), axis=axis)
    schema = node.target._schema
    arguments = {one.name: one.default_value for one in schema.arguments if one.has_default_value()}
    arguments |= {one.name: value for one, value in zip(schema.arguments, node.args, strict=False)}
    operands = Operands(graph, {**arguments, **node.kwargs}, node, values)
    kind = schema.name.removeprefix("aten::")
    if kind == "unbind":
        return operands.name("self", operands.tensor("self").dtype), arguments["dim"]
    if kind not in TRANSLATORS:
        raise NotRecordableError(f"the operator {kind} has no translation")
    try:
        return TRANSLATORS[kind](operands)
    except NotImplementedError as err:
        raise NotRecordableError(f"{err} has no translation") from err
