"""Measures of many scenes are scikit-learn's on the same pixels."""

from collections.abc import Mapping

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    jaccard_score,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.pipeline.evaluation.scene_evaluation import ScoredScene, Strips, evaluated


def random_scene(seed: int, *, share: float = 0.03) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    mask = random.random((40, 30)) < share
    scores = (random.normal(size=mask.shape) + 2 * mask).astype(np.float32)
    return scores, mask


def scored(name: str, scores: np.ndarray, mask: np.ndarray, rows: int = 7) -> ScoredScene:
    h, w = scores.shape

    def strips() -> Strips:
        for top in range(0, h, rows):
            yield Window(top, 0, min(rows, h - top), w), scores[top : top + rows, :, None]

    return ScoredScene(name=name, size=(h, w), strips=strips, mask=lambda size: mask)


def rates(truth: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    found = scores > threshold
    return {
        "precision": precision_score(truth, found, zero_division=0),
        "recall": recall_score(truth, found),
        "f1": f1_score(truth, found),
        "iou": jaccard_score(truth, found),
        "false_alarm_rate": float(found[~truth].mean()),
    }


def assert_as_scikit_learn(
    values: Mapping[str, float | None], truth: np.ndarray, scores: np.ndarray, thresholds: Mapping[str, float]
) -> None:
    assert values["auroc"] == pytest.approx(roc_auc_score(truth, scores), rel=1e-12)
    assert values["average_precision"] == pytest.approx(average_precision_score(truth, scores), rel=1e-12)
    false_alarms, detected, _ = roc_curve(truth, scores, drop_intermediate=False)
    for rate in (0.01, 0.001):
        expected = detected[false_alarms <= rate].max()
        assert values[f"detection_rate_at_{rate:g}"] == pytest.approx(expected, rel=1e-12)
    for name, threshold in thresholds.items():
        for key, expected in rates(truth, scores, threshold).items():
            assert values[f"{name}/{key}"] == pytest.approx(expected, rel=1e-12), (name, key)


def test_pooled_and_each_scene_are_scikit_learns_on_the_same_pixels() -> None:
    pairs = [random_scene(seed) for seed in (1, 2, 3)]
    scenes = [scored(str(i), *pair) for i, pair in enumerate(pairs)]
    found = evaluated(scenes, 1.7, (0.05, 0.01))
    assert set(found.thresholds) == {"stored", "rate_0.05", "rate_0.01"}
    scores = np.concatenate([pair[0].ravel() for pair in pairs])
    truth = np.concatenate([pair[1].ravel() for pair in pairs])
    assert_as_scikit_learn(found.pooled.values, truth, scores, found.thresholds)
    assert (found.pooled.pixels, found.pooled.anomalies) == (truth.size, truth.sum())
    for one, (own_scores, own_truth) in zip(found.scenes, pairs, strict=True):
        assert_as_scikit_learn(one.values, own_truth.ravel(), own_scores.ravel(), found.thresholds)


def test_the_threshold_of_a_rate_is_the_quantile_of_the_normal_pixels() -> None:
    pairs = [random_scene(seed) for seed in (1, 2)]
    found = evaluated([scored(str(i), *pair) for i, pair in enumerate(pairs)], None, (0.02,))
    normal = np.sort(np.concatenate([scores[~mask] for scores, mask in pairs]))
    allowed = int(0.02 * len(normal))
    # The largest threshold that is exceeded too often is normal[-allowed - 1], which itself is not above.
    assert normal[-allowed - 2] < found.thresholds["rate_0.02"] < normal[-allowed]
    assert found.pooled.confusions["rate_0.02"].fp == allowed
    assert found.pooled.values["rate_0.02/false_alarm_rate"] == allowed / len(normal)


def test_a_scene_without_anomalies_counts_in_the_false_alarms_alone() -> None:
    marked, normal = random_scene(1), (np.full((40, 30), 9.0, np.float32), np.zeros((40, 30), bool))
    alone = evaluated([scored("a", *marked)], 2.0, ())
    both = evaluated([scored("a", *marked), scored("b", *normal)], 2.0, ())
    assert both.pooled.values["stored/recall"] == alone.pooled.values["stored/recall"]
    assert both.pooled.confusions["stored"].fp == alone.pooled.confusions["stored"].fp + 1200
    values = both.scenes[1].values
    assert values["stored/false_alarm_rate"] == 1.0
    assert {name for name, value in values.items() if value is not None} == {"stored/false_alarm_rate"}


def test_unknown_and_invalid_pixels_do_not_count() -> None:
    scores, mask = random_scene(1)
    left_out = np.random.default_rng(5).random(mask.shape) < 0.3
    scores[0] = np.nan
    found = evaluated([scored("a", scores, np.ma.array(mask, mask=left_out))], 1.0, ())
    counted = ~left_out & np.isfinite(scores)
    assert_as_scikit_learn(found.pooled.values, mask[counted], scores[counted], found.thresholds)


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_a_region_across_strips_is_one(rows: int) -> None:
    scores, _ = random_scene(1)
    mask = np.zeros(scores.shape, bool)
    mask[5:17, 3:9] = mask[30, 20] = mask[31, 21] = mask[36, 2] = True
    scores[mask] += 1
    found = evaluated([scored("a", scores, mask, rows)], None, ())
    labels, n = ndimage.label(mask, np.ones((3, 3)))
    assert n == 3
    # Bergmann et al.: the mean share of a region that is found, over the share of false alarms up to 0.3.
    thresholds = np.sort(np.unique(scores))[::-1]
    false_alarms = np.array([0.0, *((scores[~mask] >= t).mean() for t in thresholds)])
    overlap = np.array(
        [0.0, *(np.mean([(scores[labels == i] >= t).mean() for i in (1, 2, 3)]) for t in thresholds)]
    )
    inside = false_alarms <= 0.3
    x = np.append(false_alarms[inside], 0.3)
    y = np.append(overlap[inside], np.interp(0.3, false_alarms, overlap))
    assert found.pooled.values["aupro"] == pytest.approx(np.trapezoid(y, x) / 0.3, rel=1e-9)


def test_impossible_input_is_refused() -> None:
    scores, mask = random_scene(1)
    with pytest.raises(ConfigError, match="between 0 and 1, got 1"):
        evaluated([scored("a", scores, mask)], None, (1.0,))
    with pytest.raises(GraphError, match="at least one pixel"):
        evaluated([scored("a", np.full_like(scores, np.nan), mask)], None, ())
    with pytest.raises(GraphError, match="40x30 pixels, got shape"):
        evaluated([scored("a", scores, mask[:9])], None, ())
