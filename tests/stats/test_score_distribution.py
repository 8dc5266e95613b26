import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.functional import detection
from cuvis_ai.functional.affine import identity_like
from cuvis_ai.functional.detection import Confusion
from cuvis_ai.stats import ScoreDistribution, update_all

# Scores of several kinds, from normal noise and a flag for anomalies.
KINDS = {
    "logits": lambda z, y: z + 2 * y,
    "rx": lambda z, y: 100 + 14 * z + 40 * y,
    "squared": lambda z, y: (z + 1.5 * y) ** 2,
    "heavy tail": lambda z, y: np.exp(3 * (z + y)),
    "far from zero": lambda z, y: 2e4 + 15 * (z + y),
    "probabilities": lambda z, y: 1 / (1 + np.exp(4 - 3 * z - 6 * y)),
    "ties": lambda z, y: np.round(4 * z + 4 * y),
}


def column(values):
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)[:, None]


def distribution_of(scores, truth=None, **limits):
    sketch = ScoreDistribution(**limits)
    sketch.update(column(scores), None, None if truth is None else torch.as_tensor(truth))
    return sketch


def drawn(kind, n, seed=0, share=0.01):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < share
    return KINDS[kind](rng.standard_normal(n), truth).astype(np.float32), truth


def counts_of(sketch):
    """All that has to be the same to the last bit: everything but mean and second moment."""
    ends = [sketch.low, sketch.high] if sketch.count else []  # NaN is not equal to itself
    columns = [column.tolist() for histogram in sketch._histograms for column in histogram]
    return [sketch.count, sketch._dropped, *columns, *ends]


def values_of(sketch):
    curve = sketch.curve()
    return [
        *(getattr(detection, name)(curve) for name in ("auroc", "average_precision", "best_f1", "aupro")),
        *(sketch.quantile(q) for q in (0.0, 0.25, 0.5, 0.75, 1.0)),
        sketch.confusion(0.5),
    ]


def true_rank_error(scores, value, q):
    """How far q is from the ranks that the value can have among the scores."""
    below, upto = (scores < value).mean(), (scores <= value).mean()
    return max(below - q, q - upto, 0.0)


scores_and_sizes = st.lists(
    st.tuples(
        st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, width=32)),
        st.sampled_from([0, 0, 1, 3, 7]),
    ),
    min_size=1,
    max_size=60,
)


@given(
    pixels=scores_and_sizes,
    order=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    limits=st.sampled_from([{}, {"exact_limit": 10, "bins": 8}, {"exact_limit": 0, "bins": 16}]),
)
def test_any_split_order_and_merge_gives_the_same_bits(pixels, order, cuts, limits):
    def taken(some):
        sketch = ScoreDistribution(**limits)
        if some:
            scores, sizes = (np.array(c, dtype=np.float64) for c in zip(*some, strict=True))
            truth = np.divide(1.0, sizes, out=np.zeros_like(sizes), where=sizes > 0)
            sketch.update(column(scores), None, torch.from_numpy(truth))
        return sketch

    whole = taken(pixels)
    shuffled = list(pixels)
    order.shuffle(shuffled)
    ends = [0, *sorted(min(cut, len(pixels)) for cut in cuts), len(pixels)]
    parts = [taken(shuffled[a:b]) for a, b in pairwise(ends)]
    before = [counts_of(part) for part in parts]
    in_turn, as_tree = parts[0], parts[-1]
    for part in parts[1:]:
        in_turn = in_turn.merge(part)
    for part in reversed(parts[:-1]):
        as_tree = part.merge(as_tree)
    for other in (in_turn, as_tree):
        assert counts_of(other) == counts_of(whole)
        assert values_of(other) == values_of(whole)
        np.testing.assert_allclose(other.mean, whole.mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(other.std, whole.std, rtol=1e-9, atol=1e-9)
    assert [counts_of(part) for part in parts] == before


@pytest.mark.parametrize("limits", [{}, {"exact_limit": 1000, "bins": 512}])
def test_blocks_and_flushes_change_nothing(monkeypatch, limits):
    scores, truth = drawn("squared", 20_000)
    whole = distribution_of(scores, truth, **limits)
    monkeypatch.setattr("cuvis_ai.stats.score_distribution.CHUNK", 777)
    blocks = ScoreDistribution(**limits)
    update_all([blocks], column(scores), None, torch.from_numpy(truth))
    assert counts_of(blocks) == counts_of(whole)
    assert values_of(blocks) == values_of(whole)


def test_merging_and_updating_afterwards_leaves_the_parts_alone():
    first, second, empty = distribution_of([1.0, 2.0]), distribution_of([3.0]), ScoreDistribution()
    for a, b in [(first, second), (first, empty), (empty, second)]:
        before = [[*counts_of(x), str(x.mean)] for x in (a, b)]
        whole = a.merge(b)
        whole.update(column([50.0]))
        assert whole.count == a.count + b.count + 1
        assert [[*counts_of(x), str(x.mean)] for x in (a, b)] == before


def test_pickle_restores_the_distribution():
    for sketch in (distribution_of(*drawn("rx", 500), exact_limit=100, bins=64), ScoreDistribution()):
        restored = pickle.loads(pickle.dumps(sketch))
        assert counts_of(restored) == counts_of(sketch)
        assert (restored.mean, restored.std) == pytest.approx((sketch.mean, sketch.std), nan_ok=True)
        assert (restored.exact_limit, restored.bins) == (sketch.exact_limit, sketch.bins)


def test_what_the_caller_does_with_its_tensors_afterwards_changes_nothing():
    scores, truth = torch.arange(6.0)[:, None], torch.tensor([0, 0, 0, 1, 0, 1]).bool()
    sketch = ScoreDistribution()
    sketch.update(scores, None, truth)
    scores.fill_(7.0)
    truth.fill_(False)
    assert (sketch.low, sketch.high) == (0.0, 5.0)
    assert sketch.confusion(2.5) == Confusion(2, 1, 0, 3)


def test_invalid_and_non_finite_scores_are_passed_over():
    scores, truth = drawn("rx", 300)
    valid = np.random.default_rng(1).random(300) < 0.7
    dirty = np.where(valid, scores, 1e9)
    dirty[np.flatnonzero(valid)[:3]] = [np.nan, np.inf, -np.inf]
    chosen = valid & np.isfinite(dirty)
    sketch = ScoreDistribution()
    sketch.update(column(dirty), torch.from_numpy(valid), torch.from_numpy(truth))
    assert counts_of(sketch) == counts_of(distribution_of(scores[chosen], truth[chosen]))


def test_the_state_of_no_pixel_is_undefined_not_an_error():
    sketch = ScoreDistribution()
    sketch.update(column([1.0, 2.0]), torch.tensor([False, False]))
    assert (sketch.count, sketch.channels) == (0, 0)
    assert all(
        math.isnan(x) for x in (sketch.mean, sketch.std, sketch.low, sketch.high, sketch.quantile(0.5))
    )
    assert sketch.confusion(0.0) == Confusion(0, 0, 0, 0)
    sketch.update(column([4.0]))
    assert (sketch.mean, sketch.quantile(0.3), sketch.channels) == (4.0, 4.0, 1)
    assert math.isnan(sketch.std)


def test_pixels_without_truth_are_normal():
    sketch = distribution_of([1.0, 2.0])
    sketch.update(column([3.0, 4.0]), None, torch.tensor([True, False]))
    assert sketch.confusion(1.5) == Confusion(tp=1, fp=2, fn=0, tn=1)


@pytest.mark.parametrize("kind", KINDS)
def test_up_to_the_limit_all_values_are_exact(kind):
    scores, truth = drawn(kind, 5000, share=0.05)
    sketch = distribution_of(scores, truth)
    curve = sketch.curve()
    assert detection.auroc(curve) == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores), abs=1e-12)
    expected = sklearn_metrics.average_precision_score(truth, scores)
    assert detection.average_precision(curve) == pytest.approx(expected, abs=1e-12)
    exact = scores.astype(np.float64)
    for q in (0.0, 0.1, 0.25, 0.5, 0.75, 1 / 3, 1.0):
        assert sketch.quantile(q) == np.quantile(exact, q)
    np.testing.assert_allclose((sketch.mean, sketch.std), (exact.mean(), exact.std(ddof=1)), rtol=1e-12)
    assert (sketch.low, sketch.high) == (exact.min(), exact.max())


@pytest.mark.parametrize("limits", [{}, {"exact_limit": 100, "bins": 256}])
@pytest.mark.parametrize("kind", KINDS)
def test_every_threshold_of_the_curve_gives_its_point(kind, limits):
    scores, truth = drawn(kind, 700, share=0.1)
    sketch = distribution_of(scores, truth, **limits)
    curve = sketch.curve()
    assert curve.thresholds.diff().lt(0).all()
    for threshold, tp, fp, _ in zip(*(x.tolist() for x in curve), strict=True):
        # Both as it is and as a float32 that scores are compared with.
        for predicted in (scores > threshold, torch.from_numpy(scores).gt(torch.tensor(threshold)).numpy()):
            assert ((predicted & truth).sum(), (predicted & ~truth).sum()) == (tp, fp)
        assert sketch.confusion(threshold)[:2] == (tp, fp)


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 5e-324, 1.0, 1.0 - 1e-15, 1.0 + 1e-15, 1.5, 2.0, 9.0])
def test_confusion_is_what_is_strictly_above(threshold):
    scores, truth = np.array([-0.0, 0.0, 1.0, 1.0, 2.0]), np.array([0, 1, 1, 0, 1]).astype(bool)
    got = distribution_of(scores, truth).confusion(threshold)
    predicted = scores > threshold
    tn, fp, fn, tp = sklearn_metrics.confusion_matrix(truth, predicted, labels=[False, True]).ravel()
    assert got == Confusion(tp, fp, fn, tn)


def test_extreme_floats_keep_their_order():
    tiny, huge = np.float32(1e-45), np.finfo(np.float32).max
    scores = np.array([-huge, -1.0, -tiny, 0.0, tiny, 1.0, huge], dtype=np.float32)
    truth = np.arange(7) > 2
    for limits in ({}, {"exact_limit": 0, "bins": 4}):
        sketch = distribution_of(scores, truth, **limits)
        curve = sketch.curve()
        assert (int(curve.tp[-1]), int(curve.fp[-1])) == (4, 3)
        assert curve.thresholds.diff().lt(0).all()
        assert (sketch.low, sketch.high) == (-huge, huge)
        assert detection.auroc(curve) == 1.0
    assert distribution_of(scores).quantile(0.5) == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_beyond_the_limit_values_are_close(kind):
    # Sixteen times coarser than by default.
    scores, truth = drawn(kind, 2**18)
    sketch = distribution_of(scores, truth, exact_limit=2**16, bins=2**16)
    curve = sketch.curve()
    assert abs(detection.auroc(curve) - sklearn_metrics.roc_auc_score(truth, scores)) < 1e-4
    expected = sklearn_metrics.average_precision_score(truth, scores)
    assert abs(detection.average_precision(curve) - expected) < 2e-3
    for q in (0.001, 0.25, 0.5, 0.75, 0.999):
        assert true_rank_error(scores, sketch.quantile(q), q) < 1e-3
    exact = scores.astype(np.float64)
    np.testing.assert_allclose((sketch.mean, sketch.std), (exact.mean(), exact.std(ddof=1)), rtol=1e-10)
    assert (sketch.low, sketch.high) == (exact.min(), exact.max())
    confusion, above = sketch.confusion(np.quantile(exact, 0.98)), exact > np.quantile(exact, 0.98)
    assert abs(confusion.tp + confusion.fp - above.sum()) < 1e-3 * len(scores)


def test_memory_does_not_grow_with_pixels(monkeypatch):
    monkeypatch.setattr("cuvis_ai.stats.score_distribution.CHUNK", 2**14)
    sketch = ScoreDistribution(exact_limit=2**15, bins=2**13)
    held = []
    for seed in range(40):
        sketch.update(column(drawn("squared", 2**14, seed)[0]), None, torch.rand(2**14) < 0.1)
        held.append(len(pickle.dumps(sketch)))
    assert sketch.count == 40 * 2**14
    assert max(held[:2]) > 2**15 * 12
    assert max(held[2:]) < 2**13 * 24 + 2000


@pytest.mark.slow
def test_above_two_to_the_24_pixels():
    n = 2**24 + 2**20
    scores, truth = drawn("squared", n)
    sketch = ScoreDistribution()
    update_all([sketch], column(scores), None, torch.from_numpy(truth))
    assert sketch.count == n
    assert sketch._dropped > 0  # bits are dropped
    curve = sketch.curve()
    assert int(curve.tp[-1] + curve.fp[-1]) == n
    assert abs(detection.auroc(curve) - sklearn_metrics.roc_auc_score(truth, scores)) < 1e-4
    expected = sklearn_metrics.average_precision_score(truth, scores)
    assert abs(detection.average_precision(curve) - expected) < 2e-3
    for q in (0.25, 0.5, 0.75):
        assert true_rank_error(scores, sketch.quantile(q), q) < 1e-3
    np.testing.assert_allclose(sketch.mean, scores.mean(dtype=np.float64), rtol=1e-10)


def test_misuse_is_named():
    with pytest.raises(GraphError, match=r"expected 1 channel, got 3 in pixels \(2, 3\)"):
        ScoreDistribution().update(torch.zeros(2, 3))
    with pytest.raises(GraphError, match="Observe the output"):
        distribution_of([1.0]).through(identity_like(torch.zeros(1)))
    with pytest.raises(ConfigError, match="from 0 to 1, got 1.5"):
        distribution_of([1.0]).quantile(1.5)
    with pytest.raises(ConfigError, match="expected 4 or more, got 3"):
        ScoreDistribution(bins=3)


@settings(max_examples=30)
@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=50), st.floats(0, 1))
def test_quantiles_equal_numpy_and_stay_within_the_extrema(values, q):
    scores = np.array(values, dtype=np.float64) + 0.0
    assert distribution_of(scores).quantile(q) == np.quantile(scores, q)
    coarse = distribution_of(scores, exact_limit=0, bins=4)
    assert scores.min() <= coarse.quantile(q) <= scores.max()


@pytest.mark.parametrize("bins", [2**20, 2**12])
def test_excess_over_a_score_up_to_another(bins: int) -> None:
    scores = np.random.default_rng(0).gamma(2.0, size=20_000).astype(np.float32).astype(np.float64)
    distribution = ScoreDistribution(exact_limit=2**22 if bins == 2**20 else 1000, bins=bins)
    distribution.update(torch.from_numpy(scores)[:, None])
    between = scores[(scores > 3) & (scores <= 5)]
    n_between, n_above, excess = distribution.excess(3.0, 5.0)
    tolerance = 0 if bins == 2**20 else 20
    assert n_between == pytest.approx(len(between), abs=tolerance)
    assert n_above == pytest.approx((scores > 5).sum(), abs=tolerance)
    assert excess == pytest.approx((between - 3).sum(), rel=1e-9 if bins == 2**20 else 1e-2)
