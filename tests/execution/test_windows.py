"""Nodes that look at neighbours: what they are given, how far the graph sees, and which pixels count."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.losses import AnomalyBCEWithLogits
from cuvis_ai.training.metrics import AnomalyDetectionMetrics, ScoreStatisticsMetric
from cuvis_ai.training.threshold import Threshold
from cuvis_ai.types import CUBE
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, BoxMean, ReweightedMean, graph_of


class Seen(Node):
    """Records the valid pixels that it is given; without wish for them it is called with the cube alone."""

    def __init__(self, *, needs_valid: bool) -> None:
        super().__init__()
        self.needs_valid = needs_valid
        self.given: Any = None

    def forward(self, cube: torch.Tensor, *valid: torch.Tensor) -> torch.Tensor:
        self.given = valid
        return cube


@pytest.mark.parametrize("needs_valid", [False, True])
def test_only_nodes_that_ask_for_them_are_given_the_valid_pixels(needs_valid: bool) -> None:
    graph = graph_of(Seen(needs_valid=needs_valid))
    cube = random_cubes()
    graph(cube)
    given = graph.nodes["n0"].given
    assert len(given) == needs_valid
    assert all(bool(valid.all()) and valid.shape == (2, 6, 5) for valid in given)
    cube[1, 2, 3, 4] = float("nan")
    graph(cube)
    for valid in graph.nodes["n0"].given:
        assert valid.logical_not().nonzero().tolist() == [[1, 3, 4]]


def test_a_pixel_without_data_enters_no_window() -> None:
    graph = graph_of(MinMaxNormalizer(), BoxMean())
    cubes = random_cubes(4)
    graph.train(Batches(as_batches(cubes)), STATISTICS_ONLY)
    spoilt = cubes.clone()
    spoilt[1, 2, 3, 4] = float("nan")
    output = graph(spoilt).output
    normalized = graph.nodes["n0"](cubes)
    neighbours = [(y, x) for y in (2, 3, 4) for x in (3, 4) if (y, x) != (3, 4)]
    expected = torch.stack([normalized[1, :, y, x] for y, x in [*neighbours, (2, 2), (3, 2), (4, 2)]]).mean(0)
    torch.testing.assert_close(output[1, :, 3, 3], expected)
    assert output[1, :, 3, 4].isnan().all()
    assert int(output.isnan().any(1).sum()) == 1


def whole_cube() -> Node:
    node = BoxMean()
    node.halo = None
    return node


HALOS = [
    ("none", [MinMaxNormalizer], 0),
    ("along a chain", [BoxMean, MinMaxNormalizer, BoxMean], 2),
    ("whole cube", [BoxMean, whole_cube, BoxMean], None),
]


@pytest.mark.parametrize(("chain", "expected"), [row[1:] for row in HALOS], ids=[row[0] for row in HALOS])
def test_halo_of_a_chain(chain: Any, expected: int | None) -> None:
    assert graph_of(*(make() for make in chain)).halo == expected


def test_halo_is_the_largest_sum_along_a_path() -> None:
    graph = graph_of(MinMaxNormalizer(), BoxMean(), BoxMean())
    graph.add_node(BoxMean(), parent="n0", name="short")
    graph.add_node(TrainablePCA(2), parent=["n2", "short"], name="both")
    assert graph.halo == 2
    assert graph._members.execution.halo(("short", "n0")) == 1
    assert graph._members.execution.halo(CUBE) == 0


def windowed(*, leaves: bool = True) -> Graph:
    """A graph of every kind of node that context matters to."""
    graph = Graph()
    first = graph.add_node(TrainablePCA(4, trainable=True), name="pca")
    level = graph.add_node(ReweightedMean(), parent=first, name="level")
    smooth = graph.add_node(BoxMean(), parent=level, name="smooth")
    rx = graph.add_node(RXGlobal(), parent=[smooth, first], name="rx")
    head = graph.add_node(RXLogitHead(), parent=rx, name="head")
    if leaves:
        graph.add_leaf_node(AnomalyBCEWithLogits(pos_weight="balanced"), parent=head)
        graph.add_leaf_node(AnomalyDetectionMetrics(threshold_multiplier=1.0), parent=rx)
        graph.add_leaf_node(ScoreStatisticsMetric(), parent=rx)
        graph.add_leaf_node(Threshold("quantile", 0.9), parent=rx)
    return graph


def test_context_is_seen_but_not_counted() -> None:
    """A cube cut in two, each half with its neighbours' pixels, fits and logs what the whole one does."""
    cube, mask = random_cubes(1, h=20, w=9), (torch.arange(180) % 11 == 0).view(1, 20, 9)
    core = torch.zeros(1, 20, 9, dtype=torch.bool)
    halves = []
    for rows, seen in ((slice(0, 12), slice(0, 14)), (slice(12, 20), slice(10, 20))):
        own = core.clone()
        own[:, rows] = True
        halves.append({"cube": cube[:, :, seen], "mask": mask[:, seen], "core": own[:, seen]})
    whole, cut = windowed(), windowed()
    batch = [{"cube": cube, "mask": mask}]
    reference = whole.train(Batches(batch, batch), STATISTICS_ONLY).callback_metrics
    values = cut.train(Batches(halves, halves), STATISTICS_ONLY).callback_metrics
    assert reference.keys() == values.keys()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(cut.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)
    # AUPRO counts regions, which a cut may part; here none touch.
    np.testing.assert_allclose(
        [float(values[name]) for name in reference], [float(v) for v in reference.values()], rtol=1e-5
    )
    expected = roc_auc_score(mask.flatten(), whole.run(cube, ["rx"])["rx"].flatten())
    assert float(values["val/metric/anomaly_auroc"]) == pytest.approx(expected)


@pytest.mark.parametrize("tile", [7, (5, 30)])
def test_tiles_are_read_with_the_context_that_the_graph_asks_for(tmp_path: Any, tile: Any) -> None:
    pixels = random_cubes(1, h=23, w=30)
    np.save(tmp_path / "scene.npy", pixels[0].permute(1, 2, 0).numpy())
    np.save(tmp_path / "mask.npy", (np.arange(690) % 13 == 0).reshape(23, 30))
    tiles = SceneTiles(
        tmp_path / "scene.npy", mask=tmp_path / "mask.npy", tile=tile, fractions=(1, 0, 0), batch_size=3
    )
    graph, reference = windowed(), windowed()
    graph.train(tiles, STATISTICS_ONLY)
    mask = torch.from_numpy(np.load(tmp_path / "mask.npy"))[None]
    whole = Batches([{"cube": pixels, "mask": mask}])
    reference.train(whole, STATISTICS_ONLY)
    for name, value in reference.state_dict().items():
        torch.testing.assert_close(
            graph.state_dict()[name], value, rtol=1e-4, atol=1e-5, equal_nan=True, msg=name
        )
    values, expected = graph.evaluate(tiles, "train"), reference.evaluate(whole, "train")
    values, expected = ({k: v for k, v in d.items() if "aupro" not in k} for d in (values, expected))
    assert values == pytest.approx(expected, rel=1e-4)
    [first, *_] = tiles.train_dataloader()
    assert "core" not in first, "who asks for tiles gets tiles"


@pytest.mark.parametrize("spoilt", [False, True])
def test_a_large_cube_is_evaluated_in_strips_with_the_same_result(
    spoilt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = windowed(leaves=False)
    cubes = random_cubes(2, h=23, w=9)
    graph.train(Batches(as_batches(cubes)), STATISTICS_ONLY)
    if spoilt:
        cubes = torch.where(torch.rand(2, 1, 23, 9) < 0.9, cubes, torch.nan)
    nodes = ["smooth", "rx", "pca"]
    whole, rows = graph.run(cubes, nodes), []
    forward = BoxMean.forward
    monkeypatch.setattr(BoxMean, "forward", lambda *args: rows.append(args[1].shape[2]) or forward(*args))
    monkeypatch.setattr("cuvis_ai.execution.execution.PIXELS", 50)
    cut = graph.run(cubes, nodes)
    assert max(rows) == 7
    assert len(rows) >= 2 * 5, "five strips of each cube"
    for name in nodes:
        torch.testing.assert_close(cut[name], whole[name], equal_nan=True)
        assert bool(cut[name].isnan().any()) == spoilt
    valid = graph.run(cubes, ["rx"])["rx"].isnan().logical_not()[:, 0]
    assert torch.equal(valid, cubes.isfinite().all(1))


def test_a_projection_that_several_nodes_read_is_made_once_whatever_is_attached() -> None:
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3), name="pca")
    graph.add_node(RXGlobal(), parent=pca, name="rx")
    graph.train(Batches(as_batches(random_cubes(8))), STATISTICS_ONLY)
    execution = graph._members.execution
    assert execution.source(("pca",)) == CUBE
    graph.add_node(RXGlobal(), parent=pca, name="second")
    graph.train(Batches(as_batches(random_cubes(8))), STATISTICS_ONLY)
    assert execution.source(("pca",)) == ("pca",)
    graph.add_leaf_node(ScoreStatisticsMetric(), parent="rx")
    assert execution.source(("pca",)) == ("pca",)
