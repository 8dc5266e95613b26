"""Torch's operators in ONNX: what formulas of nodes consist of, each for any number of pixels.

A formula is recorded as torch's ATen operators and translated one by one, so that a node's formula has one
home and a new node needs nothing here. An operator that is missing is left to torch's own exporter.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from cuvis_ai.pipeline.export.onnx_graph import OnnxGraph, numpy_dtype

TO_THE_END = np.iinfo(np.int64).max
"""Where a slice ends that goes to the border."""


@dataclass(frozen=True)
class Operands:
    """The arguments of one recorded operator, by name, and the graph that it is translated into."""

    graph: OnnxGraph
    arguments: Mapping[str, Any]
    node: fx.Node
    values: Mapping[fx.Node, Any]
    """Names of what has been translated."""

    @property
    def result(self) -> Tensor:
        """The example that stands for the result."""
        return _example(self.node)

    def tensor(self, key: str) -> Tensor:
        """Return the example that stands for an argument."""
        return _example(self.arguments[key])

    def name(self, key: str, dtype: torch.dtype | None = None) -> str:
        """Return the name of an argument's value, in a number type; by default that of the result."""
        return self._named(self.arguments[key], self.result.dtype if dtype is None else dtype)

    def names(self, key: str) -> list[str]:
        """Return the names of a list of values."""
        return [self._named(one, self.result.dtype) for one in self.arguments[key]]

    def _named(self, value: Any, dtype: torch.dtype) -> str:
        if not isinstance(value, fx.Node):
            return self.graph.constant(value, numpy_dtype(dtype))
        name: str = self.values[value]
        return name if _example(value).dtype == dtype else self.graph.cast(name, numpy_dtype(dtype))


def _example(node: fx.Node) -> Tensor:
    example: Tensor = node.meta["val"]
    return example


Translator = Callable[[Operands], str]


def _unary(*kinds: str) -> Translator:
    def translate(o: Operands) -> str:
        value = o.name("self")
        for kind in kinds:
            value = o.graph.op(kind, value)
        return value

    return translate


def _arithmetic(kind: str) -> Translator:
    def translate(o: Operands) -> str:
        other = o.name("other")
        if o.arguments.get("alpha", 1) != 1:
            other = o.graph.op("Mul", other, _scalar(o, o.arguments["alpha"]))
        return o.graph.op(kind, o.name("self"), other)

    return translate


def _comparison(*kinds: str) -> Translator:
    def translate(o: Operands) -> str:
        other = o.arguments["other"]
        other = _example(other) if isinstance(other, fx.Node) else other
        common = torch.result_type(o.tensor("self"), other)
        value = o.graph.op(kinds[0], o.name("self", common), o.name("other", common))
        for kind in kinds[1:]:
            value = o.graph.op(kind, value)
        return value

    return translate


def _reduction(kind: str) -> Translator:
    def translate(o: Operands) -> str:
        dims = o.arguments["dim"]
        dims = range(o.tensor("self").ndim) if dims is None else [dims] if isinstance(dims, int) else dims
        listed = o.graph.axes(*(dim % o.tensor("self").ndim for dim in dims))
        return o.graph.op(kind, o.name("self"), listed, keepdims=int(o.arguments["keepdim"]))

    return translate


def _scalar(o: Operands, value: Any) -> str:
    return o.graph.constant(value, numpy_dtype(o.result.dtype))


def _power(o: Operands) -> str:
    if o.arguments["exponent"] == 2:
        return o.graph.op("Mul", o.name("self"), o.name("self"))
    return o.graph.op("Pow", o.name("self"), o.name("exponent"))


def _clamp(o: Operands) -> str:
    value = o.name("self")
    for kind, key in (("Max", "min"), ("Min", "max")):
        if o.arguments[key] is not None:
            value = o.graph.op(kind, value, o.name(key))
    return value


def _nan_to_num(o: Operands) -> str:
    value, kept = o.name("self"), o.name("self")
    for key, test in (
        ("nan", {}),
        ("posinf", {"detect_negative": 0}),
        ("neginf", {"detect_positive": 0}),
    ):
        given = o.arguments[key]
        if given is None:
            limits = torch.finfo(o.result.dtype)
            given = {"nan": 0.0, "posinf": limits.max, "neginf": limits.min}[key]
        if given != given:
            continue  # NaN stays NaN
        found = o.graph.op("IsInf" if test else "IsNaN", kept, **test)
        value = o.graph.op("Where", found, _scalar(o, given), value)
    return value


def _addcmul(o: Operands) -> str:
    product = o.graph.op("Mul", o.name("tensor1"), o.name("tensor2"))
    factor = o.arguments.get("value", 1)
    if factor == -1:
        return o.graph.op("Sub", o.name("self"), product)
    if factor != 1:
        product = o.graph.op("Mul", product, _scalar(o, factor))
    return o.graph.op("Add", o.name("self"), product)


def _norm(o: Operands) -> str:
    if o.arguments["ord"] != 2:
        raise NotImplementedError("linalg_vector_norm of another order than 2")
    return _reduction("ReduceL2")(o)


def _squeeze(o: Operands) -> str:
    dims = o.arguments["dim"]
    listed = [dims] if isinstance(dims, int) else dims
    return o.graph.op("Squeeze", o.name("self"), o.graph.axes(*listed))


def _slice(o: Operands) -> str:
    """Ends are counted from the border, where the formula means it: sizes are free."""
    axis, size = o.arguments["dim"], o.tensor("self").shape[o.arguments["dim"]]
    start, end = o.arguments["start"] or 0, o.arguments["end"]
    end = TO_THE_END if end is None or end >= size else end - size if end >= 0 else end
    if start == 0 and end == TO_THE_END and o.arguments["step"] == 1:
        return o.name("self")
    bounds = (o.graph.axes(one) for one in (start, end, axis, o.arguments["step"]))
    return o.graph.op("Slice", o.name("self"), *bounds)


def _pad(o: Operands) -> str:
    pairs, rank = o.arguments["pad"], o.result.ndim
    before, after = [0] * rank, [0] * rank
    for i in range(len(pairs) // 2):
        before[rank - 1 - i], after[rank - 1 - i] = pairs[2 * i], pairs[2 * i + 1]
    return o.graph.op("Pad", o.name("self"), o.graph.axes(*before, *after), _scalar(o, o.arguments["value"]))


def _convolution(o: Operands) -> str:
    if o.arguments["transposed"]:
        raise NotImplementedError("transposed convolution")
    pads = o.arguments["padding"]
    inputs = [o.name(key) for key in ("input", "weight", "bias") if o.arguments[key] is not None]
    return o.graph.op(
        "Conv", *inputs, strides=list(o.arguments["stride"]), pads=[*pads, *pads],
        dilations=list(o.arguments["dilation"]), group=o.arguments["groups"],
    )  # fmt: skip


def _mean_of_windows(o: Operands) -> str:
    window, pads = o.arguments["kernel_size"], o.arguments["padding"]
    divisor, size = o.arguments["divisor_override"], math.prod(window)
    # A divisor of one's own is of the whole window, frame included.
    whole = int(o.arguments["count_include_pad"] or divisor is not None)
    mean = o.graph.op(
        "AveragePool", o.name("self"), kernel_shape=list(window), pads=[*pads, *pads],
        strides=list(o.arguments["stride"] or window), ceil_mode=int(o.arguments["ceil_mode"]),
        count_include_pad=whole,
    )  # fmt: skip
    return mean if divisor is None else o.graph.op("Mul", mean, _scalar(o, size / divisor))


def _stack(o: Operands) -> str:
    axis = o.arguments["dim"] % o.result.ndim
    raised = [o.graph.op("Unsqueeze", one, o.graph.axes(axis)) for one in o.names("tensors")]
    return o.graph.op("Concat", *raised, axis=axis)


TRANSLATORS: Mapping[str, Translator] = {
    **{name: _unary(name.capitalize()) for name in ("abs", "neg", "sqrt", "exp", "log", "reciprocal")},
    **{name: _unary(name.capitalize()) for name in ("sigmoid", "tanh", "relu")},
    "rsqrt": _unary("Sqrt", "Reciprocal"),
    "logical_not": _unary("Not"),
    "bitwise_not": _unary("Not"),
    **{name: _arithmetic(name.capitalize()) for name in ("add", "sub", "mul", "div")},
    "maximum": _arithmetic("Max"),
    "minimum": _arithmetic("Min"),
    "logical_and": _arithmetic("And"),
    "bitwise_and": _arithmetic("And"),
    "logical_or": _arithmetic("Or"),
    "bitwise_or": _arithmetic("Or"),
    "gt": _comparison("Greater"),
    "ge": _comparison("GreaterOrEqual"),
    "lt": _comparison("Less"),
    "le": _comparison("LessOrEqual"),
    "eq": _comparison("Equal"),
    "ne": _comparison("Equal", "Not"),
    "sum": _reduction("ReduceSum"),
    "mean": _reduction("ReduceMean"),
    "amax": _reduction("ReduceMax"),
    "amin": _reduction("ReduceMin"),
    "linalg_vector_norm": _norm,
    "pow": _power,
    "clamp": _clamp,
    "where": lambda o: o.graph.op("Where", o.name("condition", torch.bool), o.name("self"), o.name("other")),
    "masked_fill": lambda o: o.graph.op("Where", o.name("mask", torch.bool), o.name("value"), o.name("self")),
    "nan_to_num": _nan_to_num,
    "addcmul": _addcmul,
    "unsqueeze": lambda o: o.graph.op(
        "Unsqueeze", o.name("self"), o.graph.axes(o.arguments["dim"] % o.result.ndim)
    ),
    "squeeze": _squeeze,
    "slice": _slice,
    "select": lambda o: o.graph.op(
        "Gather", o.name("self"), o.graph.constant(o.arguments["index"], np.int64), axis=o.arguments["dim"]
    ),
    "constant_pad_nd": _pad,
    "convolution": _convolution,
    "avg_pool2d": _mean_of_windows,
    "cat": lambda o: o.graph.op("Concat", *o.names("tensors"), axis=o.arguments["dim"] % o.result.ndim),
    "stack": _stack,
    "permute": lambda o: o.graph.op(
        "Transpose", o.name("self"), perm=[dim % o.result.ndim for dim in o.arguments["dims"]]
    ),
    "scalar_tensor": lambda o: _scalar(o, o.arguments["s"]),
    # In the result's number type.
    **dict.fromkeys(("_to_copy", "clone", "detach", "alias", "lift_fresh_copy"), lambda o: o.name("self")),
}
