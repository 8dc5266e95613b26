import math

import numpy as np
import pytest
import torch
from scipy import stats

from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.errors import ConfigError
from cuvis_ai.stats import ScoreDistribution
from tests.cubes import Batches
from tests.graphs import STATISTICS_ONLY, graph_of


def calibrated(scores: np.ndarray, rate: float = 1e-3) -> TailCalibrator:
    node, sketch = TailCalibrator(rate).double(), ScoreDistribution()
    sketch.update(torch.from_numpy(scores.astype(np.float32))[:, None])
    node.finalize(sketch)
    return node


def test_rate_is_the_maximum_of_the_censored_likelihood() -> None:
    scores = np.random.default_rng(0).gamma(2.0, size=5000).astype(np.float32).astype(np.float64)
    node = calibrated(scores)
    start, end = np.quantile(scores, [0.9, 0.98])
    tail = scores[scores > start] - start
    data = stats.CensoredData.right_censored(np.minimum(tail, end - start), tail > end - start)
    _, scale = stats.expon.fit(data, floc=0)
    np.testing.assert_allclose(node.location, start, rtol=1e-13)
    np.testing.assert_allclose(node.rate, 1 / scale, rtol=1e-4)


@pytest.mark.parametrize("wanted", [0.3, 0.1, 1e-2, 1e-3])
def test_thresholds_give_the_wanted_rate_for_an_exponential_tail(wanted: float) -> None:
    scores = np.random.default_rng(1).exponential(7.0, size=200_000) - 3
    node = calibrated(scores, wanted)
    output = node(torch.from_numpy(scores).view(1, 1, 1, -1))
    realized = float((output > node.threshold).double().mean())
    assert realized == pytest.approx(wanted, rel=0.15)
    if wanted < 0.1:
        assert float(node.threshold) == pytest.approx(math.log(0.1 / wanted))


def test_anomalies_beyond_the_98_percent_quantile_do_not_change_the_units() -> None:
    scores = np.random.default_rng(2).exponential(size=10_000)
    spoilt = np.where(scores > np.quantile(scores, 0.985), scores * 1e3, scores)
    np.testing.assert_allclose(calibrated(spoilt).rate, calibrated(scores).rate, rtol=1e-12)


def test_the_ranking_stays() -> None:
    scores = np.random.default_rng(3).normal(size=1000)
    output = calibrated(scores)(torch.from_numpy(scores).view(1, 1, 1, -1)).flatten().numpy()
    np.testing.assert_array_equal(np.argsort(output), np.argsort(scores))


@pytest.mark.parametrize("scores", [np.full(100, 3.0), np.array([1.0]), np.r_[np.zeros(99), 1.0]])
def test_scores_without_a_tail_stay_in_their_units(scores: np.ndarray) -> None:
    node = calibrated(scores)
    assert float(node.rate) == 1
    assert bool(node(torch.from_numpy(scores).view(1, 1, 1, -1)).isfinite().all())


def test_it_is_fitted_in_a_pass_of_its_own_from_pixels_that_count() -> None:
    scores = torch.randn(1, 1, 20, 30)
    core = torch.rand(1, 20, 30) < 0.5
    graph = graph_of(TailCalibrator())
    graph.train(Batches([{"cube": scores, "core": core}]), STATISTICS_ONLY)
    expected = np.quantile(scores[core[:, None]].numpy(), 0.9)
    np.testing.assert_allclose(graph.nodes["n0"].location, expected, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_impossible_arguments(rate: float) -> None:
    with pytest.raises(ConfigError, match="TailCalibrator: false_alarm_rate: expected between 0 and 1"):
        TailCalibrator(rate)
