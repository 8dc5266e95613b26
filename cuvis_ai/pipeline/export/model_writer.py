"""From the composed maps of a graph to ONNX: one product a chain, and what follows it.

The value at a point is computed from where the execution computes it, see `cuvis_ai.execution.execution`.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cuvis_ai.errors import GraphError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.functional.affine import Affine
from cuvis_ai.node.base import AffineNode, Node, Recorded, has_pointwise, sees_valid, structure_of
from cuvis_ai.pipeline.export.onnx_graph import OnnxGraph
from cuvis_ai.pipeline.export.recording import SIZES, NotRecordableError, examples, record
from cuvis_ai.pipeline.export.torch_exporter import NotTraceableError, trace
from cuvis_ai.stats import Structure
from cuvis_ai.types import Point

Layout = Literal["nchw", "nhwc"]

CHANNEL_AXIS = {"nchw": 1, "nhwc": 3}
_ORDER = {"nchw": [0, 3, 1, 2], "nhwc": [0, 2, 3, 1]}
"""How the axes of the other layout are put into this one."""


class Value(NamedTuple):
    """A cube in the model."""

    name: str
    layout: Layout
    channels: int


@dataclass(eq=False)
class ModelWriter:
    """Writes the values at points of a graph, each once.

    Attributes:
        execution: knows the composed maps.
        graph: takes the operators.
        valid: the name of the flags of valid pixels (b, h, w); where some node needs them.
        values: what has been written, by point; the cube from the start.
    """

    execution: Execution
    graph: OnnxGraph
    valid: str | None
    values: dict[Point, Value] = field(default_factory=dict)

    def value(self, point: Point, layout: Layout | None = None) -> Value:
        """Return the value at a point, in the layout in which it is there or in a certain one."""
        if point not in self.values:
            self.values[point] = self._joined(point) if len(point) > 1 else self._output(point[0])
        found = self.values[point]
        return found if layout is None else self._in_layout(found, layout)

    def _joined(self, point: Point) -> Value:
        parts = [self.value((name,), "nchw") for name in point]
        name = self.graph.op("Concat", *(part.name for part in parts), axis=1)
        return Value(name, "nchw", sum(part.channels for part in parts))

    def _output(self, name: str) -> Value:
        node = self.execution.nodes[name]
        with self.graph.scoped(name):
            if not isinstance(node, AffineNode) or structure_of(node) is Structure.OPAQUE:
                part, entering = _portable(node), self.value(self.execution.input_of(name), "nchw")
                return self._function(part, _formula(part), entering, flags=sees_valid(node))
            mapped = self._mapped(name)
            if not has_pointwise(node):
                return mapped
            part = _portable(node)
            assert isinstance(part, AffineNode)
            return self._function(part, part.pointwise, self._in_layout(mapped, "nchw"), flags=False)

    def _mapped(self, name: str) -> Value:
        """The composed map of a chain that ends with a node."""
        base = self.execution.source(self.execution.input_of(name))
        entering = self.value(base)
        with torch.no_grad():
            affine = self.execution.affine((name,), base, entering.channels)
            assert affine is not None
            affine = affine.to(torch.float32)
        if not affine.channelwise:
            entering = self.value(base, "nhwc")
        written = self._affine(affine, entering)
        return Value(written, entering.layout, affine.out_channels)

    def _affine(self, affine: Affine, entering: Value) -> str:
        def spread(vector: Tensor) -> str:
            array = vector.detach().cpu().numpy()
            wide = len(array) > 1 and entering.layout == "nchw"
            return self.graph.constant(array[:, None, None] if wide else array)

        value = entering.name
        if bool(affine.center.any()):
            value = self.graph.op("Sub", value, spread(affine.center))
        if affine.channelwise:
            value = self.graph.op("Mul", value, spread(affine.weight))
        else:
            weight = np.ascontiguousarray(affine.weight.detach().cpu().numpy().T)
            value = self.graph.op("MatMul", value, self.graph.constant(weight))
        return self.graph.op("Add", value, spread(affine.bias)) if bool(affine.bias.any()) else value

    def _in_layout(self, value: Value, layout: Layout) -> Value:
        if value.layout == layout:
            return value
        return value._replace(name=self.graph.op("Transpose", value.name, perm=_ORDER[layout]), layout=layout)

    def _function(
        self, node: Node, function: Callable[..., Tensor], entering: Value, *, flags: bool
    ) -> Value:
        """What a node computes besides an affine map: its formula recorded, else traced by torch."""
        assert self.valid is not None or not flags
        inputs = [entering.name, self.valid] if flags and self.valid else [entering.name]
        try:
            name = record(function, entering.channels, inputs, self.graph)
        except NotRecordableError as unrecorded:
            try:
                name = trace(function, node, entering.channels, inputs, self.graph)
            except NotTraceableError as err:
                raise GraphError(
                    f"{node.label}: cannot be exported: {_first_line(unrecorded)}; and torch's exporter: "
                    f"{_first_line(err)}. Export the outputs before it (`outputs=[…]`), or let it compute "
                    "without branches on values, see docs/export.md."
                ) from err
        with torch.no_grad():
            mapped = function(*examples(SIZES[0], entering.channels, flags))
        return Value(name, "nchw", mapped.shape[1])


def _portable(node: Node) -> Node:
    """Return a copy as it is used: in float32 on the CPU, in evaluation mode."""
    try:
        return copy.deepcopy(node).to("cpu", torch.float32).eval()
    except Exception as err:  # any node of a user's: whatever it holds, it cannot be copied
        raise GraphError(f"{node.label}: cannot be exported, since it cannot be copied: {err}") from err


def _formula(node: Node) -> Callable[..., Tensor]:
    """Return what a node without an affine form computes, 0 at invalid pixels if it is given them."""
    function: Callable[..., Tensor] = node.recorded if isinstance(node, Recorded) else node.forward
    if not sees_valid(node):
        return function
    return lambda cube, valid: torch.where(valid[:, None], function(cube, valid), 0.0)


def _first_line(err: Exception) -> str:
    return next((line.strip() for line in str(err).splitlines() if line.strip()), type(err).__name__)
