"""Metrics against scikit-learn on all pixels of the epoch, on random and on real scenes."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.errors import ConfigError, GraphError, NotFittedError
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import AnomalyBCEWithLogits, OrthogonalityLoss
from cuvis_ai.training.metrics import (
    AnomalyDetectionMetrics,
    ComponentOrthogonalityMetric,
    ExplainedVarianceMetric,
    ScoreStatisticsMetric,
)
from tests.anomaly.test_rx_detector import SCENES, as_cube, read_scene
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, masks, rx_graph, values_of


def expected_detection(scores: np.ndarray, truth: np.ndarray, k: float = 2.0) -> dict[str, float]:
    predicted = scores > scores.mean() + k * scores.std(ddof=1)
    return {
        "anomaly_precision": precision_score(truth, predicted, zero_division=0),
        "anomaly_recall": recall_score(truth, predicted),
        "anomaly_f1": f1_score(truth, predicted),
        "anomaly_iou": jaccard_score(truth, predicted),
        "anomaly_auroc": roc_auc_score(truth, scores),
        "anomaly_average_precision": average_precision_score(truth, scores),
    }


@pytest.mark.parametrize("name", SCENES)
def test_real_scene_in_tiles_gives_scikit_learns_values(scenes: Path, name: str) -> None:
    scene, truth = read_scene(scenes, name)
    cube, mask = as_cube(scene), torch.from_numpy(truth)[None]
    tiles = [
        {"cube": cube[:, :, i : i + 33, j : j + 29], "mask": mask[:, i : i + 33, j : j + 29]}
        for i in range(0, cube.shape[2], 33)
        for j in range(0, cube.shape[3], 29)
    ]
    graph = rx_graph(AnomalyDetectionMetrics(threshold_multiplier=2.0), ScoreStatisticsMetric())
    values = values_of(graph, tiles, tiles)
    scores = graph(cube).output.flatten().double().numpy()
    expected = expected_detection(scores, truth.ravel())
    for key, value in expected.items():
        assert values[key] == pytest.approx(value, abs=1e-5), key
    quantiles = np.quantile(scores, [0.25, 0.5, 0.75, 0.95, 0.99])
    for key, value in zip(("q25", "q50", "q75", "q95", "q99"), quantiles, strict=True):
        assert values[f"score_{key}"] == pytest.approx(value, rel=1e-4)
    assert values["score_mean"] == pytest.approx(scores.mean(), rel=1e-5)
    assert values["score_std"] == pytest.approx(scores.std(ddof=1), rel=1e-5)
    assert values["score_min"] == pytest.approx(scores.min(), rel=1e-5)
    assert values["score_max"] == pytest.approx(scores.max(), rel=1e-5)
    assert values["anomaly_auroc"] == pytest.approx(SCENES[name][0], abs=1e-3)


def test_pooled_f1_is_not_the_mean_of_per_batch_f1_and_ours_is_the_pooled_one() -> None:
    cubes = random_cubes(6)
    cubes[0] *= 5  # one bright cube: its pixels pass the common threshold, few pass one of their own
    mask = torch.zeros(6, 6, 5, dtype=torch.bool)
    mask[0], mask[:, 0, 0] = True, True
    graph = rx_graph(AnomalyDetectionMetrics(threshold_multiplier=1.0))
    batches = as_batches(cubes, 1, mask=mask)
    value = values_of(graph, as_batches(random_cubes(8, seed=3)), batches)["anomaly_f1"]
    scores = graph(cubes).output[:, 0].double().numpy()
    pooled = expected_detection(scores.ravel(), mask.numpy().ravel(), 1.0)["anomaly_f1"]
    per_batch = np.mean(
        [
            f1_score(m.ravel(), s.ravel() > s.mean() + s.std(ddof=1))
            for s, m in zip(scores, mask.numpy(), strict=True)
        ]
    )
    assert value == pytest.approx(pooled, abs=1e-6)
    assert abs(pooled - per_batch) > 0.02


def test_probability_threshold_is_on_the_sigmoid_of_logits() -> None:
    graph = Graph()
    graph.add_node(RXGlobal(), name="rx")
    graph.add_node(RXLogitHead(init_bias=9.0), parent="rx", name="head")
    graph.add_leaf_node(AnomalyDetectionMetrics(threshold=0.3), parent="head")
    cubes, mask = random_cubes(4, seed=1), masks(4)
    values = values_of(graph, as_batches(random_cubes(8)), as_batches(cubes, mask=mask))
    predicted = torch.sigmoid(graph(cubes).output.flatten()) > 0.3
    assert values["anomaly_recall"] == pytest.approx(recall_score(mask.flatten(), predicted))
    assert values["anomaly_precision"] == pytest.approx(precision_score(mask.flatten(), predicted))


def test_probability_threshold_on_plain_scores_is_refused() -> None:
    with pytest.raises(GraphError, match="is a probability: expected a parent that emits logits"):
        rx_graph(AnomalyDetectionMetrics(threshold=0.5))
    with pytest.raises(ConfigError, match=r"a probability in \(0, 1\)"):
        AnomalyDetectionMetrics(threshold=1.5)


def test_without_masks_there_is_one_warning_and_training_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3, trainable=True))
    rx = graph.add_node(RXGlobal(), parent=pca)
    graph.add_leaf_node(OrthogonalityLoss(), parent=pca)
    graph.add_leaf_node(AnomalyDetectionMetrics(), parent=rx)
    graph.add_leaf_node(ScoreStatisticsMetric(), parent=rx)
    config = TrainingConfig(trainer=TrainerConfig(max_epochs=3, enable_progress_bar=False))
    with caplog.at_level(logging.WARNING):
        trainer = graph.train(Batches(as_batches(random_cubes(4)), as_batches(random_cubes(2))), config)
    assert caplog.text.count('no batch["mask"], so anomaly metrics are left out') == 1
    assert not [name for name in trainer.callback_metrics if "anomaly_" in name]
    assert "val/metric/score_q50" in trainer.callback_metrics


class Undefined(Node):
    """Gives NaN for every pixel."""

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        return cube[:, :1] * float("nan")

    def out_channels(self, in_channels: int | None) -> int:
        return 1


def test_scores_that_are_all_nan_are_named_as_such(caplog: pytest.LogCaptureFixture) -> None:
    graph = Graph()
    graph.add_leaf_node(AnomalyDetectionMetrics(), parent=graph.add_node(Undefined()))
    batches = as_batches(random_cubes(4), mask=masks(4))
    with caplog.at_level(logging.WARNING):
        values_of(graph, batches, batches)
    assert caplog.text.count("no finite score, so anomaly metrics are left out") == 1
    assert "no batch" not in caplog.text


@pytest.mark.parametrize("anomalous", [True, False])
def test_values_that_are_not_defined_are_left_out(anomalous: bool) -> None:
    mask = torch.full((4, 6, 5), anomalous)
    graph = rx_graph(AnomalyDetectionMetrics())
    values = values_of(graph, as_batches(random_cubes(4)), as_batches(random_cubes(4), mask=mask))
    assert "anomaly_auroc" not in values
    assert ("anomaly_average_precision" in values) is anomalous
    assert "anomaly_f1" in values


def test_explained_variance_is_of_the_validation_data_out_of_the_total() -> None:
    cubes = torch.randn(4, 30, 30, 8, generator=torch.Generator().manual_seed(0)).permute(0, 3, 1, 2)
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3))
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    graph.add_leaf_node(ComponentOrthogonalityMetric(), parent=pca)
    white = values_of(graph, as_batches(cubes), as_batches(cubes))
    assert white["explained_variance_total"] == pytest.approx(3 / 8, abs=0.03)
    pca.set_state(components=torch.cat([pca.components[:1], pca.components[:1], pca.components[2:]]))
    equal = values_of(graph, as_batches(cubes), as_batches(cubes))
    assert equal["explained_variance_total"] < white["explained_variance_total"] - 0.05
    assert equal["component_orthogonality_error"] == pytest.approx(2**0.5, rel=1e-5)
    pca.set_state(components=torch.zeros(3, 8))
    zero = values_of(graph, as_batches(cubes), as_batches(cubes))
    assert zero["explained_variance_total"] == 0
    assert zero["explained_variance_pc1"] == 0


@pytest.mark.parametrize("whiten", [False, True])
def test_logged_shares_are_those_of_the_components_directions(whiten: bool) -> None:
    train, val = random_cubes(8), random_cubes(8, seed=1)
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3, whiten=whiten))
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    graph.train(Batches(as_batches(train)), STATISTICS_ONLY)
    rows = torch.randn(3, 7) * torch.tensor([[0.1], [1.0], [20.0]])
    pca.set_state(components=rows)
    values = values_of(graph, as_batches(train), as_batches(val))
    x = val.permute(0, 2, 3, 1).reshape(-1, 7).double().numpy()
    for i, row in enumerate(rows.double().numpy(), 1):
        expected = (x @ (row / np.linalg.norm(row))).var() / x.var(axis=0).sum()
        assert values[f"explained_variance_pc{i}"] == pytest.approx(expected, rel=1e-5)


def test_evaluate_returns_one_split_under_its_stage() -> None:
    graph = rx_graph(ScoreStatisticsMetric(), AnomalyDetectionMetrics())
    test = random_cubes(4, seed=5)
    datamodule = Batches(
        as_batches(random_cubes(8)), as_batches(random_cubes(2)), as_batches(test, mask=masks(4))
    )
    with pytest.raises(NotFittedError):
        graph.evaluate(datamodule)
    graph.train(datamodule, STATISTICS_ONLY)
    values = graph.evaluate(datamodule)
    assert all(name.startswith("test/metric/") for name in values)
    scores = graph(test).output.double()
    assert values["test/metric/score_mean"] == pytest.approx(float(scores.mean()), rel=1e-5)
    expected = roc_auc_score(masks(4).flatten(), scores.flatten())
    assert values["test/metric/anomaly_auroc"] == pytest.approx(expected, abs=1e-6)
    assert graph.evaluate(datamodule, split="train")["train/metric/score_mean"] != pytest.approx(
        values["test/metric/score_mean"]
    )
    with pytest.raises(GraphError, match="expected cubes in the split `test`, got none"):
        graph.evaluate(Batches(as_batches(random_cubes(2))))


def test_evaluate_gives_losses_too() -> None:
    graph = Graph()
    graph.add_node(RXGlobal(), name="rx")
    graph.add_node(RXLogitHead(), parent="rx", name="head")
    graph.add_leaf_node(AnomalyBCEWithLogits(weight=2.0), parent="head")
    datamodule = Batches(
        as_batches(random_cubes(4), mask=masks(4)), (), as_batches(random_cubes(4), mask=masks(4))
    )
    graph.train(datamodule, STATISTICS_ONLY)
    values = graph.evaluate(datamodule)
    assert values["test/loss/total"] == pytest.approx(2 * values["test/loss/bce"])


def test_minmax_before_rx_changes_no_ranking() -> None:
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer())
    rx = graph.add_node(RXGlobal(), parent=norm)
    graph.add_leaf_node(AnomalyDetectionMetrics(), parent=rx)
    batches = as_batches(random_cubes(4), mask=masks(4))
    with_norm = values_of(graph, batches, batches)
    without = values_of(rx_graph(AnomalyDetectionMetrics()), batches, batches)
    assert with_norm["anomaly_auroc"] == pytest.approx(without["anomaly_auroc"], abs=1e-9)
