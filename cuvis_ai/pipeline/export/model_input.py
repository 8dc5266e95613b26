"""What enters an exported model: its number type and layout, and which of its pixels are measurements."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.export.model_writer import CHANNEL_AXIS, Layout
from cuvis_ai.pipeline.export.onnx_graph import OnnxGraph, Port

InputType = Literal["float32", "uint16", "int16"]

CUBE_INPUT = "cube"
VALID_INPUT = "valid"


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    """The cube that a model takes, and its flags.

    Attributes:
        dtype: the number type of the cube.
        layout: "nchw" for (b, c, h, w), "nhwc" for (b, h, w, c); of outputs as well.
        channels: c.
        no_data: what stands for no data in any band (0: in all of them); None: nothing does.
        flags: whether the mask of valid pixels (b, h, w) enters beside it.

    Raises:
        ConfigError: values that are impossible.
    """

    dtype: InputType
    layout: Layout
    channels: int
    no_data: float | None
    flags: bool

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("input", self.dtype, get_args(InputType)),
            ("layout", self.layout, get_args(Layout)),
        ):
            if value not in allowed:
                raise ConfigError(
                    f"export_onnx: {name}: expected one of {', '.join(allowed)}, got {value!r}."
                )
        if self.no_data is not None and not self._holds(self.no_data):
            raise ConfigError(
                f"export_onnx: no_data: expected a number that {self.dtype} holds, got {self.no_data!r}. "
                "Pixels that are not finite are no data by themselves."
            )

    def _holds(self, value: float) -> bool:
        if self.dtype == "float32":
            return bool(np.isfinite(np.float32(value)))
        limits = np.iinfo(self.dtype)
        return float(value).is_integer() and limits.min <= value <= limits.max

    def shaped(self, channels: int) -> tuple[str | int, ...]:
        """Return the shape of a cube of so many channels."""
        return ("b", channels, "h", "w") if self.layout == "nchw" else ("b", "h", "w", channels)

    @property
    def ports(self) -> list[Port]:
        """What enters."""
        cube = Port(CUBE_INPUT, np.dtype(self.dtype), self.shaped(self.channels))
        return [cube, Port(VALID_INPUT, np.dtype(bool), ("b", "h", "w"))] if self.flags else [cube]

    def cube(self, graph: OnnxGraph) -> str:
        """Write the cube as float32; every integer of 16 bits is one."""
        if self.dtype == "float32":
            return CUBE_INPUT
        return graph.cast(CUBE_INPUT, np.dtype(np.float32))

    def measured(self, graph: OnnxGraph, cube: str) -> str | None:
        """Write where pixels are measurements (b, h, w), as far as the model has to find that out itself."""
        axis = graph.axes(CHANNEL_AXIS[self.layout])
        known = [VALID_INPUT] if self.flags else []
        if self.flags and self.dtype == "float32":
            # The sum of magnitudes is finite where all bands are; NaN is not below anything.
            total = graph.op("ReduceL1", cube, axis, keepdims=0)
            known.append(graph.op("Less", total, graph.constant(np.inf, np.float32)))
        if self.no_data is not None:
            known.append(self._differs(graph, cube, axis))
        while len(known) > 1:
            known.append(graph.op("And", known.pop(), known.pop()))
        return known[0] if known else None

    def _differs(self, graph: OnnxGraph, cube: str, axis: str) -> str:
        """Where no band is the no-data value; of 0, where not all are."""
        zero = graph.constant(0.0, np.float32)
        if self.no_data:
            cube = graph.op("Sub", cube, graph.constant(self.no_data, np.float32))
        extreme = "ReduceMin" if self.no_data else "ReduceMax"
        return graph.op("Greater", graph.op(extreme, graph.op("Abs", cube), axis, keepdims=0), zero)

    def found_invalid(self, cube: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where a cube (b, c, h, w) is no data, (b, h, w), as the model is to find it."""
        invalid: NDArray[np.bool_] = ~np.isfinite(cube).all(1)
        if self.no_data is not None:
            same = cube == np.float32(self.no_data)
            invalid |= same.any(1) if self.no_data else same.all(1)
        return invalid

    def arranged(self, cube: NDArray[Any]) -> NDArray[Any]:
        """Return a cube (b, c, h, w) as the model takes it."""
        moved = cube if self.layout == "nchw" else np.moveaxis(cube, 1, 3)
        return np.ascontiguousarray(moved.astype(self.dtype))

    def feed(self, cube: NDArray[Any], valid: NDArray[np.bool_]) -> Mapping[str, NDArray[Any]]:
        """Return what the model is given for a cube (b, c, h, w) and its flags."""
        given = {CUBE_INPUT: self.arranged(cube)}
        return {**given, VALID_INPUT: valid} if self.flags else given
