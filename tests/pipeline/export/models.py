"""What ONNX Runtime and OpenVINO make of exported models, beside what their graphs do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cuvis_ai.node.base import Node
from cuvis_ai.pipeline.graph import Graph
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, graph_of

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

WITHIN = 1e-4
"""Of an output's greatest value, as the export itself promises; design.md asks for as much of float32."""

Feed = dict[str, NDArray[Any]]


def by_runtime(path: Path, feed: Feed) -> dict[str, NDArray[Any]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def by_openvino(path: Path, feed: Feed) -> dict[str, NDArray[Any]]:
    openvino = pytest.importorskip("openvino")
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {port.get_any_name(): value for port, value in model(feed).items()}


def names_of_inputs(path: Path) -> list[str]:
    return [one.name for one in onnx.load(path).graph.input]


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def fed(path: Path, cube: torch.Tensor, valid: torch.Tensor) -> Feed:
    """Return what a model of layout nchw is given; flags, if it takes them."""
    feed = {"cube": np.ascontiguousarray(cube.numpy()), "valid": valid.numpy()}
    return {name: feed[name] for name in names_of_inputs(path)}


def assert_alike(got: NDArray[Any], want: NDArray[Any]) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert np.array_equal(np.isnan(got), np.isnan(want))
    finite = want[np.isfinite(want)]
    np.testing.assert_allclose(got, want, rtol=0, atol=WITHIN * np.abs(finite).max(initial=1e-30))


def assert_agrees(path: Path, graph: Graph, cube: torch.Tensor, valid: torch.Tensor) -> None:
    """Assert that both runtimes give what the graph does; a model without flags is given valid pixels alone."""
    takes = "valid" in names_of_inputs(path)
    names = [one.name for one in onnx.load(path).graph.output if not one.name.endswith("_detected")]
    wanted = graph.run(cube, names, valid=valid if takes else None)
    for run in (by_runtime, by_openvino):
        got = run(path, fed(path, cube, valid))
        for name in names:
            assert_alike(got[name], wanted[name].numpy())


CUBE = random_cubes(2, h=23, w=17, seed=5)
VALID = torch.rand(2, 23, 17, generator=torch.Generator().manual_seed(3)) < 0.9


def trained(graph: Graph) -> Graph:
    cubes = random_cubes(4, h=20, w=30)
    mask = torch.rand(4, 20, 30, generator=torch.Generator().manual_seed(1)) < 0.05
    cubes = cubes + 4 * mask[:, None]  # so that anomalies score higher
    graph.train(Batches(as_batches(cubes, mask=mask), as_batches(cubes, mask=mask)), STATISTICS_ONLY)
    return graph


def chain(*nodes: Node) -> Graph:
    return trained(graph_of(*nodes))
