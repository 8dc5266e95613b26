"""What cannot be recorded, traced by torch's own exporter and taken over into an ONNX graph."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cuvis_ai.errors import import_extra
from cuvis_ai.pipeline.export.onnx_graph import OPSET, OnnxGraph
from cuvis_ai.pipeline.export.recording import SIZES, examples


class NotTraceableError(Exception):
    """Torch's exporter does not take a function either."""


class _Function(nn.Module):
    """A function with the weights of a module, as torch's exporter wants it."""

    def __init__(self, function: Callable[..., Tensor], module: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.module = module

    def forward(self, cube: Tensor, valid: Tensor | None = None) -> Tensor:
        return self.function(cube) if valid is None else self.function(cube, valid)


def trace(
    function: Callable[..., Tensor],
    module: nn.Module,
    channels: int,
    inputs: Sequence[str],
    graph: OnnxGraph,
) -> str:
    """Write a function of a cube (b, c, h, w), and of flags (b, h, w) as a second input; return its output.

    Args:
        function: calls the module.
        module: whose weights it has.
        channels: c.
        inputs: names of the values that it is given.
        graph: takes it.

    Raises:
        NotTraceableError: it depends on values, or has operators that ONNX lacks.
    """
    inliner = import_extra("onnx.inliner", "export", "exporting a graph")
    import_extra("onnxscript", "export", "exporting a node that torch has to trace")
    given = examples(SIZES[1], channels, len(inputs) > 1)
    free = torch.export.Dim.DYNAMIC
    shapes = ({0: free, 2: free, 3: free}, {0: free, 1: free, 2: free})[: len(inputs)]
    names = ["cube", "valid"][: len(inputs)]
    try:
        with torch.no_grad(), _quiet():
            traced = torch.onnx.export(
                _Function(function, module), given, input_names=names, output_names=["mapped"],
                opset_version=OPSET, dynamo=True, dynamic_shapes=shapes, verbose=False,
            )  # fmt: skip
            assert traced is not None
            model = inliner.inline_local_functions(traced.model_proto)
    except Exception as err:  # any module of a user's: whatever is raised, it cannot be exported
        raise NotTraceableError(str(err)) from err
    return _taken_over(model.graph, dict(zip(names, inputs, strict=True)), graph)


def _taken_over(part: Any, known: dict[str, str], graph: OnnxGraph) -> str:
    """Add a graph, its values under names of their own, and return its output."""
    prefix = f"{graph.scope}traced_{len(graph.foreign)}/"

    def renamed(name: str) -> str:
        return known.get(name, prefix + name) if name else name

    for node in part.node:
        node.name = prefix + node.name
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for constant in part.initializer:
        constant.name = renamed(constant.name)
    graph.foreign.append((len(graph.steps), part))
    return renamed(part.output[0].name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what torch's exporter says about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
