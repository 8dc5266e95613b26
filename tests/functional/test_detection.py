import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import io, ndimage
from sklearn import metrics as sklearn_metrics

from cuvis_ai.functional import detection
from cuvis_ai.functional.detection import Confusion, Curve, at_false_alarm_rate
from cuvis_ai.functional.regions import region_weights
from cuvis_ai.stats import ScoreDistribution, update_all

# File, key of the anomalies, published or own ROC AUC of global RX.
SCENES = [
    ("abu-airport-4.mat", "map", 0.9526),
    ("abu-urban-2.mat", "map", 0.9946),
    ("hydice-urban-175.mat", "map", 0.9857),
    ("muufl-gulfport-v73.mat", "groundtruth", 0.9919),
]


def curve_of(scores, truth, weights=None):
    """The definition, threshold by threshold: a point is what lies above it."""
    scores, truth = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=bool)
    weights = truth.astype(np.float64) if weights is None else weights
    levels = np.unique(scores)[::-1]
    thresholds = np.append(levels, levels[-1] - 1.0)
    above = [scores > threshold for threshold in thresholds]
    return Curve(
        torch.from_numpy(thresholds),
        torch.tensor([int((a & truth).sum()) for a in above]),
        torch.tensor([int((a & ~truth).sum()) for a in above]),
        torch.tensor([float(weights[a].sum()) for a in above], dtype=torch.float64),
    )


def aupro_by_definition(scores, mask, limit):
    """Loop over thresholds and regions; the curve's straight lines are integrated on a fine grid."""
    regions = []
    for i, cube in enumerate(mask):
        labels, n = ndimage.label(cube, structure=np.ones((3, 3)))
        regions += [(i, labels == k) for k in range(1, n + 1)]
    rates, overlaps = [0.0], [0.0]
    for level in np.unique(scores)[::-1]:
        predicted = scores >= level
        rates.append((predicted & ~mask).sum() / (~mask).sum())
        overlaps.append(np.mean([predicted[i][region].mean() for i, region in regions]))
    area = 0.0
    for x0, x1, y0, y1 in zip(rates, rates[1:], overlaps, overlaps[1:], strict=False):
        if x0 >= limit or x1 == x0:
            continue
        end = min(x1, limit)
        area += (end - x0) * (y0 + (y0 + (y1 - y0) * (end - x0) / (x1 - x0))) / 2
    return area / limit


few_levels = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=40)


@given(few_levels)
def test_curve_values_equal_scikit_learn_with_ties(pixels):
    scores, truth = (np.array(column) for column in zip(*pixels, strict=True))
    curve = curve_of(scores, truth)
    if truth.any() and not truth.all():
        expected = sklearn_metrics.roc_auc_score(truth, scores)
        assert detection.auroc(curve) == pytest.approx(expected, abs=1e-12)
    if truth.any():
        expected = sklearn_metrics.average_precision_score(truth, scores)
        assert detection.average_precision(curve) == pytest.approx(expected, abs=1e-12)
        best = detection.best_f1(curve)
        predicted = [scores >= level for level in np.unique(scores)]
        values = [sklearn_metrics.f1_score(truth, p, zero_division=0.0) for p in predicted]
        assert best.value == pytest.approx(max(values), abs=1e-12)
        at_best = sklearn_metrics.f1_score(truth, scores > best.threshold, zero_division=0.0)
        assert at_best == pytest.approx(best.value, abs=1e-12)


@given(few_levels)
def test_values_are_between_zero_and_one_or_undefined(pixels):
    scores, truth = (np.array(column) for column in zip(*pixels, strict=True))
    curve = curve_of(scores, truth)
    both, some = truth.any() and not truth.all(), truth.any()
    best = detection.best_f1(curve)
    for value, defined in [
        (detection.auroc(curve), both),
        (detection.aupro(curve), both),
        (detection.average_precision(curve), some),
        (best and best.value, some),
    ]:
        assert (value is not None) == defined
        assert value is None or 0.0 <= value <= 1.0


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("levels", [5, 10_000])
def test_aupro_equals_its_definition(limit, levels):
    rng = np.random.default_rng(levels)
    mask = ndimage.binary_dilation(rng.random((3, 14, 15)) < 0.02, structure=np.ones((1, 2, 3)))
    scores = rng.integers(levels, size=mask.shape) + 0.4 * levels * mask
    weights = region_weights(torch.from_numpy(mask)).numpy()
    curve = curve_of(scores.ravel(), mask.ravel(), weights.ravel())
    expected = aupro_by_definition(scores, mask, limit)
    assert detection.aupro(curve, limit) == pytest.approx(expected, abs=1e-12)


def test_a_region_counts_in_aupro_whatever_its_size():
    mask = np.zeros((1, 10, 10), dtype=bool)
    mask[0, :5, :5] = True
    mask[0, 9, 9] = True
    scores = np.where(mask, 1.0, 0.0)
    scores[0, 9, 9] = -1.0  # the small region is missed altogether
    weights = region_weights(torch.from_numpy(mask)).numpy()
    curve = curve_of(scores.ravel(), mask.ravel(), weights.ravel())
    # One region at 1 throughout, the other at 0 up to a false-positive rate of 1.
    assert detection.aupro(curve) == pytest.approx(0.5, abs=1e-12)


def test_perfect_scores_reach_one_exactly():
    truth = np.arange(1000) % 7 == 0
    curve = curve_of(truth + np.arange(1000) * 1e-6, truth)
    assert detection.auroc(curve) == 1.0
    assert detection.average_precision(curve) == 1.0
    assert detection.aupro(curve) == 1.0
    assert detection.best_f1(curve).value == 1.0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_ratios_equal_scikit_learn(pixels):
    predicted, truth = (np.array(column) for column in zip(*pixels, strict=True))
    confusion = Confusion(
        tp=int((predicted & truth).sum()),
        fp=int((predicted & ~truth).sum()),
        fn=int((~predicted & truth).sum()),
        tn=int((~predicted & ~truth).sum()),
    )
    expected = sklearn_metrics.precision_recall_fscore_support(
        truth, predicted, average="binary", zero_division=0.0
    )[:3]
    got = (detection.precision(confusion), detection.recall(confusion), detection.f1(confusion))
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    expected = sklearn_metrics.jaccard_score(truth, predicted, zero_division=0.0)
    assert detection.iou(confusion) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ratio", [detection.precision, detection.recall, detection.f1, detection.iou])
def test_a_ratio_without_a_denominator_is_zero(ratio):
    assert ratio(Confusion(0, 0, 0, 9)) == 0.0


def test_an_empty_distribution_has_undefined_values():
    curve = ScoreDistribution().curve()
    assert detection.auroc(curve) is None
    assert detection.average_precision(curve) is None
    assert detection.best_f1(curve) is None
    assert detection.aupro(curve) is None


def scene_of(path, key):
    if path.name.endswith("-v73.mat"):
        h5py = pytest.importorskip("h5py", reason="needs h5py for a MATLAB 7.3 file, which is not installed")
        with h5py.File(path) as file:
            cube, mask = np.transpose(file["data"]), np.transpose(file[key])
    else:
        file = io.loadmat(path)
        cube, mask = file["data"], file[key]
    return cube.astype(np.float64), mask > 0


def plain_rx(cube):
    pixels = cube.reshape(-1, cube.shape[-1])
    centred = pixels - pixels.mean(0)
    inverse = np.linalg.pinv(np.cov(pixels, rowvar=False), hermitian=True)
    return np.einsum("nc,nc->n", centred @ inverse, centred)


@pytest.mark.parametrize(("name", "key", "published"), SCENES)
def test_real_scenes_equal_scikit_learn(scenes, name, key, published):
    path = scenes / name
    if not path.is_file():
        pytest.skip(f"needs the scene {name} in ../shared/data/scenes, which is missing")
    cube, mask = scene_of(path, key)
    scores, truth = plain_rx(cube).astype(np.float32), mask.ravel()
    weights = region_weights(torch.from_numpy(mask)[None])
    sketch = ScoreDistribution()
    update_all([sketch], torch.from_numpy(scores)[:, None], None, weights.flatten())
    curve = sketch.curve()
    auroc = sklearn_metrics.roc_auc_score(truth, scores)
    assert detection.auroc(curve) == pytest.approx(auroc, abs=1e-12)
    assert detection.auroc(curve) == pytest.approx(published, abs=1e-3)
    expected = sklearn_metrics.average_precision_score(truth, scores)
    assert detection.average_precision(curve) == pytest.approx(expected, abs=1e-12)
    threshold = sketch.mean + 2 * sketch.std
    confusion, predicted = sketch.confusion(threshold), scores > threshold
    expected = sklearn_metrics.precision_recall_fscore_support(truth, predicted, average="binary")[:3]
    got = (detection.precision(confusion), detection.recall(confusion), detection.f1(confusion))
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert detection.iou(confusion) == pytest.approx(sklearn_metrics.jaccard_score(truth, predicted))
    best = detection.best_f1(curve)
    assert best.value == pytest.approx(sklearn_metrics.f1_score(truth, scores > best.threshold))
    aupro = pro_by_regions(scores.reshape(mask.shape), mask)
    assert detection.aupro(curve) == pytest.approx(aupro, abs=1e-9)


def pro_by_regions(scores, mask, limit=0.3):
    """Mean over regions of each region's own curve, interpolated at the false-positive rates of all."""
    labels, n_regions = ndimage.label(mask, structure=np.ones((3, 3)))
    order = np.argsort(-scores.ravel(), kind="stable")
    last_of_tie = np.append(np.diff(scores.ravel()[order]) != 0, True)
    rates = np.append(0.0, (np.cumsum(~mask.ravel()[order]) / (~mask).sum())[last_of_tie])
    total = 0.0
    for k in range(1, n_regions + 1):
        inside = labels.ravel()[order] == k
        overlaps = np.append(0.0, (np.cumsum(inside) / inside.sum())[last_of_tie])
        before = np.searchsorted(rates, limit, side="right")
        x = np.append(rates[:before], limit)
        y = np.append(overlaps[:before], np.interp(limit, rates[before - 1 :], overlaps[before - 1 :]))
        total += np.trapezoid(y, x) / limit
    return total / n_regions


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.29, 1.0])
def test_the_point_of_a_false_alarm_rate_is_the_best_within_it(rate: float) -> None:
    # 100 normal pixels with the scores 1 to 100, two anomalies above 99.5 and 71.5.
    normal, rare = np.arange(1.0, 101.0), np.array([99.5, 71.5])
    scores = ScoreDistribution()
    truth = torch.tensor([0.0] * 100 + [1.0] * 2)
    scores.update(torch.tensor(np.concatenate([normal, rare]))[:, None].float(), None, truth)
    point = at_false_alarm_rate(scores.curve(), rate)
    assert point is not None
    assert (normal > point.threshold).sum() == round(rate * 100)
    assert point.false_alarm_rate == rate
    assert point.detection_rate == (rare > point.threshold).mean()
    assert point.detection_rate == {0.0: 0.0, 0.01: 0.5, 0.29: 1.0, 1.0: 1.0}[rate]


def test_a_false_alarm_rate_needs_normal_pixels_but_no_anomaly() -> None:
    scores = ScoreDistribution()
    scores.update(torch.arange(10.0)[:, None])
    point = at_false_alarm_rate(scores.curve(), 0.1)
    assert point is not None
    assert (point.detection_rate, point.false_alarm_rate) == (None, 0.1)
    assert at_false_alarm_rate(ScoreDistribution().curve(), 0.1) is None
