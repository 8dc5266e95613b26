"""An ONNX graph while it is written: constants by value, operators by name, then the model."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cuvis_ai.errors import import_extra

OPSET = 18
"""Operators of ONNX 1.13 (2022): old enough for runtimes on devices."""

IR_VERSION = 8
"""The file format of that release."""


class Step(NamedTuple):
    """One operator."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: tuple[tuple[str, Any], ...]


class Port(NamedTuple):
    """What enters or leaves a model."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[str | int, ...]
    """Names stand for sizes that are free."""


@dataclass(eq=False)
class OnnxGraph:
    """Operators in order, with the constants that they read; two that do the same have equal `content`."""

    steps: list[Step] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    foreign: list[Any] = field(default_factory=list)
    """Graphs that torch's exporter wrote, as protos, with the place in `steps` before which they belong."""
    scope: str = ""
    """What the names of new values begin with."""

    @property
    def content(self) -> tuple[Any, ...]:
        """Operators and constants, to be compared."""
        constants = {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in self.constants.items()}
        return self.steps, constants

    @contextmanager
    def scoped(self, name: str) -> Iterator[None]:
        """Let the names of new values begin with that of a node."""
        before, self.scope = self.scope, f"{name}/"
        try:
            yield
        finally:
            self.scope = before

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator and return its output's name."""
        output = f"{self.scope}{kind}_{len(self.steps)}"
        self.steps.append(Step(kind, inputs, output, tuple(sorted(attributes.items()))))
        return output

    def name(self, value: str, name: str) -> None:
        """Give a value that nothing reads yet a name of its own, as an output of the model."""
        if self.steps and self.steps[-1].output == value:
            self.steps[-1] = self.steps[-1]._replace(output=name)
        else:
            self.steps.append(Step("Identity", (value,), name, ()))

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Return the name of a constant; equal ones are held once."""
        array = np.array(value, dtype)
        for name, known in self.constants.items():
            same = known.dtype == array.dtype and known.shape == array.shape
            if same and known.tobytes() == array.tobytes():
                return name
        name = f"constant_{len(self.constants)}"
        self.constants[name] = array
        return name

    def axes(self, *axes: int) -> str:
        """Return a constant list of whole numbers, such as axes."""
        return self.constant(axes, np.int64)

    def cast(self, name: str, dtype: np.dtype[Any]) -> str:
        """Return a value in another number type."""
        onnx = import_extra("onnx", "export", "exporting a graph")
        return self.op("Cast", name, to=onnx.helper.np_dtype_to_tensor_dtype(dtype))

    def model(
        self, name: str, inputs: Sequence[Port], outputs: Sequence[Port], metadata: Mapping[str, str]
    ) -> Any:
        """Return the checked model."""
        onnx = import_extra("onnx", "export", "exporting a graph")
        helper = onnx.helper

        def described(ports: Sequence[Port]) -> list[Any]:
            return [
                helper.make_tensor_value_info(
                    one.name, helper.np_dtype_to_tensor_dtype(one.dtype), list(one.shape)
                )
                for one in ports
            ]

        graph = helper.make_graph(
            [*self._nodes(helper)],
            name,
            described(inputs),
            described(outputs),
            [onnx.numpy_helper.from_array(self.constants[key], key) for key in self._read_constants()],
        )
        for _, part in self.foreign:
            graph.initializer.extend(part.initializer)
        model = helper.make_model(
            graph,
            producer_name="cuvis_ai",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model

    def _read_constants(self) -> list[str]:
        read = {name for step in self.steps for name in step.inputs}
        return [name for name in self.constants if name in read]

    def _nodes(self, helper: Any) -> Iterator[Any]:
        for i in range(len(self.steps) + 1):
            for place, part in self.foreign:
                if place == i:
                    yield from part.node
            if i < len(self.steps):
                step = self.steps[i]
                yield helper.make_node(
                    step.kind, list(step.inputs), [step.output], name=step.output, **dict(step.attributes)
                )


def numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """Return NumPy's number type for torch's."""
    return torch.empty(0, dtype=dtype).numpy().dtype
