import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cuvis_ai.anomaly.branch_logit_head import BranchLogitHead
from cuvis_ai.anomaly.robust_rx import RobustRX
from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.errors import ConfigError, GraphError, NotFittedError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.normalization.normalization import MinMaxNormalizer, StandardNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.pipelines import unsupervised
from cuvis_ai.spatial.smoothing import LogSmooth
from cuvis_ai.target.ace import ACE
from cuvis_ai.training.threshold import Threshold
from tests.cases import NODES, NodeCase
from tests.cubes import random_cubes
from tests.graphs import STATISTICS_ONLY, BoxMean, autoencoder, data, graph_of, scoring
from tests.pipeline.export.models import (
    CUBE,
    VALID,
    assert_agrees,
    assert_alike,
    by_runtime,
    chain,
    onnx,
    operators,
    trained,
)
from tests.test_laws import fitted


@pytest.mark.parametrize("case", NODES, ids=str)
def test_every_node_agrees_in_both_runtimes(case: NodeCase, tmp_path: Path) -> None:
    graph = Graph()
    graph.add_node(fitted(case), name="mine")
    graph.bands = TrainedBands.of(np.arange(400, 400 + case.channels), None)
    graph.export_onnx(tmp_path / "model.onnx")
    cube = random_cubes(2, case.channels, 23, 17, seed=5)
    assert_agrees(tmp_path / "model.onnx", graph, cube, VALID)
    assert_agrees(tmp_path / "model.onnx", graph, cube[:1, :, :3, :2], VALID[:1, :3, :2])


CHAINS = {
    "rx": lambda: chain(RXGlobal()),
    "pca": lambda: chain(StandardNormalizer(), TrainablePCA(3, whiten=True)),
    "selector": lambda: chain(MinMaxNormalizer(), SoftChannelSelector(3), RXGlobal()),
    "robust": lambda: chain(TrainablePCA(4), RobustRX(extent=5), LogSmooth(), TailCalibrator()),
    "ace": lambda: chain(ACE(), BranchLogitHead([1.0])),
    "follow": lambda: trained(scoring(stats="follow")),
    "decoder": lambda: trained(autoencoder()),
    "unsupervised": lambda: trained(unsupervised(5)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_every_chain_agrees_in_both_runtimes(name: str, tmp_path: Path) -> None:
    graph = CHAINS[name]()
    graph.export_onnx(tmp_path / "model.onnx")
    assert_agrees(tmp_path / "model.onnx", graph, CUBE, VALID)


def test_windows_are_standard_operators_of_free_named_sizes(tmp_path: Path) -> None:
    trained(unsupervised(5)).export_onnx(tmp_path / "model.onnx", layout="nhwc")
    assert {"Pad", "Slice", "Max", "Min"} <= set(operators(tmp_path / "model.onnx"))
    model = onnx.load(tmp_path / "model.onnx")
    assert {one.domain for one in model.opset_import} == {""}
    shapes = {
        one.name: [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "cube": ["b", "h", "w", 7],
        "valid": ["b", "h", "w"],
        "calibrated": ["b", "h", "w", 1],
        "calibrated_detected": ["b", "h", "w", 1],
    }


@pytest.mark.parametrize("value", [float("nan"), -float("inf")])
def test_one_band_that_is_not_finite_makes_a_pixel_nan(value: float, tmp_path: Path) -> None:
    for name, graph in (("plain", trained(scoring())), ("windows", chain(RXGlobal(), LogSmooth()))):
        path = tmp_path / f"{name}.onnx"
        graph.export_onnx(path, outputs=[*graph.nodes])
        cube = CUBE.clone()
        cube[1, 2, 3, 4] = value
        assert_agrees(path, graph, cube, torch.ones_like(VALID))


def test_the_mask_is_what_is_above_the_stored_threshold(tmp_path: Path) -> None:
    graph = scoring()
    threshold = graph.add_leaf_node(Threshold("quantile", 0.9), parent="head")
    trained(graph).export_onnx(tmp_path / "model.onnx")
    cube = CUBE.clone()
    cube[0, :, 0, 0] = float("nan")
    got = by_runtime(tmp_path / "model.onnx", {"cube": cube.numpy()})
    assert got["head_detected"].dtype == bool
    assert 0 < got["head_detected"].mean() < 0.5
    np.testing.assert_array_equal(got["head_detected"], got["head"] > np.float32(threshold.value))


def test_outputs_are_chosen_and_several_ends_are_all_given(tmp_path: Path) -> None:
    graph = scoring()
    graph.add_node(RXGlobal(), parent=["norm", "pca"], name="both")
    graph.add_leaf_node(Threshold("value", 2.0), parent="both")
    trained(graph).export_onnx(tmp_path / "all.onnx")
    got = by_runtime(tmp_path / "all.onnx", {"cube": CUBE.numpy()})
    assert [*got] == ["head", "both", "both_detected"]
    graph.export_onnx(tmp_path / "some.onnx", outputs=["pca", graph.nodes["norm"], "both_detected"])
    got = by_runtime(tmp_path / "some.onnx", {"cube": CUBE.numpy()})
    assert [*got] == ["pca", "norm", "both", "both_detected"]
    assert_agrees(tmp_path / "some.onnx", graph, CUBE, VALID)


def test_double_precision_and_a_reading_of_the_weights_change_nothing(tmp_path: Path) -> None:
    graph = trained(scoring())
    before = {key: value.clone() for key, value in graph.state_dict().items()}
    graph.export_onnx(tmp_path / "single.onnx")
    assert all(torch.equal(value, before[key]) for key, value in graph.state_dict().items())
    expected = graph(CUBE).output
    graph.to(torch.float64).export_onnx(tmp_path / "double.onnx")
    [got] = by_runtime(tmp_path / "double.onnx", {"cube": CUBE.numpy()}).values()
    assert_alike(got, expected.numpy())


class Scaled(Node):
    """A user's node, by the plain protocol."""

    requires_initial_fit = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("greatest", torch.ones(()))

    def initialize_from_data(self, cubes: Iterator[torch.Tensor]) -> None:
        self.greatest.fill_(max(float(cube.max()) for cube in cubes))

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        return cube / self.greatest


class Branching(Node):
    """One that looks at values."""

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        return cube if float(cube.max()) > 3 else -cube


@pytest.mark.parametrize("node", [Scaled, BoxMean], ids=lambda one: one.__name__)
def test_nodes_of_ones_own_are_exported(node: type[Node], tmp_path: Path) -> None:
    graph = chain(MinMaxNormalizer(), node())
    graph.export_onnx(tmp_path / "model.onnx")
    assert_agrees(tmp_path / "model.onnx", graph, CUBE, VALID)


def test_a_node_that_cannot_be_exported_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(GraphError, match=r"Branching `n1`: cannot be exported: "):
        chain(MinMaxNormalizer(), Branching()).export_onnx(path)
    assert not path.exists()


def test_arguments_that_are_impossible(tmp_path: Path) -> None:
    graph, path = trained(scoring()), tmp_path / "model.onnx"
    for arguments, message in (
        ({"input": "uint8"}, "input: expected one of float32, uint16, int16, got 'uint8'"),
        ({"layout": "hwc"}, "layout: expected one of nchw, nhwc, got 'hwc'"),
        ({"input": "uint16", "no_data": -1}, "no_data: expected a number that uint16 holds, got -1"),
        ({"input": "int16", "no_data": 0.5}, "no_data: expected a number that int16 holds, got 0.5"),
        ({"no_data": float("nan")}, "no_data: expected a number that float32 holds, got nan"),
        ({"outputs": ["scores"]}, "outputs: expected some of norm, pca, rx, head, got ['scores']"),
        ({"outputs": ["head_detected"]}, "got ['head_detected']. A mask needs a `Threshold`"),
        ({"outputs": []}, "outputs: expected some of norm, pca, rx, head, got []"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            graph.export_onnx(path, **arguments)
    with pytest.raises(NotFittedError, match="norm"):
        scoring().export_onnx(path)
    with pytest.raises(GraphError, match="expected to know how many bands enter"):
        graph_of(LogSmooth()).export_onnx(path)
    with pytest.raises(GraphError, match="expected nodes, got none"):
        Graph().export_onnx(path)
    assert not path.exists()


def test_data_of_the_graphs_own_kind_are_scored_as_by_definition(tmp_path: Path) -> None:
    """The squared Mahalanobis distance in float64, not our own output, is what the model gives."""
    graph = graph_of(RXGlobal())
    graph.train(data(), STATISTICS_ONLY)
    graph.export_onnx(tmp_path / "model.onnx")
    pixels = pixels_of(random_cubes(8)).double().numpy()
    mean, inverse = pixels.mean(0), np.linalg.inv(np.cov(pixels.T))
    [got] = by_runtime(tmp_path / "model.onnx", {"cube": CUBE.numpy()}).values()
    off = pixels_of(CUBE).double().numpy() - mean
    expected = np.einsum("nc,cd,nd->n", off, inverse, off)
    np.testing.assert_allclose(got.ravel(), expected, rtol=1e-4)
