"""Intervals are those of scenes drawn with replacement, by scikit-learn's measures of the drawn pixels."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cuvis_ai.pipeline.evaluation.scene_evaluation import evaluated
from tests.pipeline.evaluation.test_scene_evaluation import random_scene, scored


def test_intervals_are_quantiles_over_drawn_scenes() -> None:
    pairs = [random_scene(seed, share=0.01 + 0.02 * seed) for seed in range(4)]
    found = evaluated([scored(str(i), *pair) for i, pair in enumerate(pairs)], 1.7, ())
    # The same generator draws; the measures are computed from the drawn pixels themselves.
    draws = np.random.default_rng(0).multinomial(4, np.full(4, 0.25), size=1000)
    values: dict[str, list[float]] = {"auroc": [], "average_precision": [], "stored/false_alarm_rate": []}
    known: dict[tuple[int, ...], tuple[float, float, float]] = {}
    for draw in map(tuple, draws):
        if draw not in known:
            chosen = np.repeat(np.arange(4), draw)
            scores = np.concatenate([pairs[i][0].ravel() for i in chosen])
            truth = np.concatenate([pairs[i][1].ravel() for i in chosen])
            known[draw] = (
                roc_auc_score(truth, scores),
                average_precision_score(truth, scores),
                float((scores[~truth] > 1.7).mean()),
            )
        for name, value in zip(values, known[draw], strict=True):
            values[name].append(value)
    # Curves are resampled at 512 to 1024 thresholds instead of at each score.
    for name, tolerance in (("auroc", 1e-3), ("average_precision", 5e-3), ("stored/false_alarm_rate", 1e-12)):
        expected = np.quantile(values[name], [0.025, 0.975])
        np.testing.assert_allclose(found.intervals[name], expected, atol=tolerance, err_msg=name)
        low, high = found.intervals[name]
        assert low < (found.pooled.values[name] or 0.0) < high


def test_resamples_without_an_anomaly_are_left_out_and_one_scene_has_no_interval() -> None:
    marked = random_scene(1)
    normal = (random_scene(2)[0], np.zeros((40, 30), bool))
    both = evaluated([scored("a", *marked), scored("b", *normal)], 1.0, ())
    low, high = both.intervals["stored/recall"]
    assert low == high == pytest.approx(both.pooled.values["stored/recall"])
    assert evaluated([scored("a", *marked)], 1.0, ()).intervals == {}
