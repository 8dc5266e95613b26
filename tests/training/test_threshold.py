"""A threshold follows its rule, and changes at the end of a validation in training alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.errors import ConfigError, NotFittedError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.metrics import AnomalyDetectionMetrics
from cuvis_ai.training.threshold import Threshold, stored_threshold
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, masks, rx_graph, values_of


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (Threshold(), lambda s: s.mean() + 2 * s.std(ddof=1)),
        (Threshold("mean_std", 3.0), lambda s: s.mean() + 3 * s.std(ddof=1)),
        (Threshold("quantile", 0.9), lambda s: np.quantile(s, 0.9)),
        (Threshold("value", 4.0), lambda s: 4.0),
    ],
)
def test_threshold_follows_its_rule_without_masks(threshold: Threshold, expected: Any) -> None:
    graph = rx_graph(threshold)
    if threshold.rule != "value":
        with pytest.raises(NotFittedError, match="has no value yet"):
            _ = threshold.value
    cubes = random_cubes(4, seed=1)
    values = values_of(graph, as_batches(random_cubes(8)), as_batches(cubes))
    scores = graph(cubes).output
    want = expected(scores.double().numpy().ravel())
    assert threshold.value == pytest.approx(want, rel=1e-5)
    assert values["threshold"] == pytest.approx(threshold.value)
    assert torch.equal(threshold(scores), scores > threshold.value)


def test_f1_max_gives_the_best_f1(tmp_path: Path) -> None:
    threshold = Threshold("f1_max")
    graph = rx_graph(threshold, AnomalyDetectionMetrics())
    cubes, mask = random_cubes(4, seed=1), masks(4)
    values = values_of(graph, as_batches(random_cubes(8)), as_batches(cubes, mask=mask))
    scores = graph(cubes).output
    found = f1_score(mask.flatten(), threshold(scores).flatten())
    every = [f1_score(mask.flatten(), (scores > s).flatten()) for s in scores.flatten()]
    assert found == pytest.approx(max(every))
    assert values["anomaly_f1_max"] == pytest.approx(found)
    assert values["anomaly_f1_max_threshold"] == pytest.approx(threshold.value)
    graph.save_to_file(tmp_path / "graph.zip")
    loaded = Graph.load_from_file(tmp_path / "graph.zip").leaves["threshold"]
    assert isinstance(loaded, Threshold)
    assert loaded.value == threshold.value
    loaded.value = 3.25
    assert loaded.value == 3.25


def test_threshold_stays_as_it_is_outside_validation() -> None:
    threshold = Threshold()
    graph = rx_graph(threshold)
    datamodule = Batches(
        as_batches(random_cubes(8)), as_batches(random_cubes(2)), as_batches(random_cubes(2, seed=9))
    )
    graph.train(datamodule, STATISTICS_ONLY)
    threshold.value = 1.5
    graph.evaluate(datamodule)
    assert threshold.value == 1.5


@pytest.mark.parametrize(
    "arguments",
    [
        ("median",),
        ("quantile", 1.5),
        ("f1_max", 1.0),
        ("best_f1", 1.0),
        ("false_alarm_rate", 0.0),
        ("value",),
    ],
)
def test_impossible_thresholds_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigError, match="Threshold: "):
        Threshold(*arguments)


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("rule", ["mean_std", "quantile", "f1_max", "false_alarm_rate"])
def test_evaluation_of_any_split_leaves_the_value_as_it_is(rule: Any, split: Any) -> None:
    threshold = Threshold(rule)
    graph = rx_graph(threshold)
    sets = (as_batches(random_cubes(n, seed=n), mask=masks(n)) for n in (8, 4, 2))
    datamodule = Batches(*sets)
    graph.train(datamodule, STATISTICS_ONLY)
    assert threshold.value != pytest.approx(3.2)
    threshold.value = 3.2
    graph.evaluate(datamodule, split=split)
    assert threshold.value == pytest.approx(3.2)


def test_a_fixed_number_needs_no_training() -> None:
    threshold = Threshold("value", 3.0)
    scores = torch.tensor([2.0, 3.0, 4.0, float("nan")]).view(1, 1, 2, 2)
    assert threshold(scores).flatten().tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [(("mean_std",), 2.0), (("quantile",), 0.99), (("f1_max",), None), (("false_alarm_rate",), 0.001)],
)
def test_parameters_have_the_documented_defaults(arguments: tuple[Any, ...], parameter: float | None) -> None:
    assert Threshold(*arguments).parameter == parameter


def test_the_test_stage_is_judged_at_the_stored_threshold_and_validation_at_its_own() -> None:
    threshold = Threshold("value", 9.0)
    graph = rx_graph(AnomalyDetectionMetrics(), threshold)
    cubes, mask = random_cubes(4, seed=1), masks(4)
    held_out = as_batches(cubes, mask=mask)
    validated = values_of(graph, as_batches(random_cubes(8)), held_out)
    tested = graph.evaluate(Batches(held_out, held_out, held_out))

    scores = graph(cubes).output
    found = (scores > 9.0).flatten()
    assert 0 < int(found.sum()) < found.numel() / 2
    assert tested["test/metric/anomaly_threshold"] == 9.0
    assert tested["test/metric/anomaly_f1"] == pytest.approx(f1_score(mask.flatten(), found))
    own = float(scores.double().mean() + 2 * scores.double().std())
    assert validated["anomaly_threshold"] == pytest.approx(own, rel=1e-5)


def test_a_threshold_without_a_value_leaves_the_test_stage_at_the_metrics_own() -> None:
    graph = rx_graph(AnomalyDetectionMetrics(3.0), Threshold("quantile"))
    cubes, mask = random_cubes(4, seed=1), masks(4)
    held_out = as_batches(cubes, mask=mask)
    graph.train(Batches(as_batches(random_cubes(8))), STATISTICS_ONLY)
    scores = graph(cubes).output.double()
    tested = graph.evaluate(Batches(held_out, held_out, held_out))
    assert tested["test/metric/anomaly_threshold"] == pytest.approx(
        float(scores.mean() + 3 * scores.std()), rel=1e-5
    )


def test_a_calibrated_tail_stores_its_own_threshold() -> None:
    node = TailCalibrator()
    node.set_state(location=torch.zeros(1), rate=torch.ones(1), threshold=torch.full((1,), 4.5))
    assert stored_threshold(node, []) == 4.5
    assert stored_threshold(node, [Threshold("value", 2.0)]) == 2.0
    assert stored_threshold(node, [Threshold("quantile")]) == 4.5
    assert stored_threshold(RXGlobal(), [AnomalyDetectionMetrics()]) is None


def test_the_name_of_older_files_means_f1_max() -> None:
    assert Threshold("best_f1").rule == "f1_max"


def test_the_threshold_of_a_false_alarm_rate_is_the_normal_pixels_quantile() -> None:
    threshold = Threshold("false_alarm_rate", 0.05)
    graph = rx_graph(threshold)
    cubes, mask = random_cubes(4, seed=1), masks(4)
    values_of(graph, as_batches(random_cubes(8)), as_batches(cubes, mask=mask))
    normal = graph(cubes).output[:, 0][~mask]
    assert int((normal > threshold.value).sum()) == int(0.05 * len(normal))


@pytest.mark.parametrize("value", [None, "high", [1.0, 2.0]])
def test_a_value_that_is_no_number_is_refused(value: Any) -> None:
    threshold = Threshold("value", 3.0)
    with pytest.raises(ConfigError, match="value: expected a number"):
        threshold.value = value
    assert threshold.value == 3.0
