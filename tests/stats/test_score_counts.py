"""Histograms of scores against sorting and counting in plain Python."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cuvis_ai.stats.score_counts import (
    EMPTY,
    WEIGHT_UNIT,
    Histogram,
    coarser,
    histograms_by_class,
    merged,
    scores_of,
    sortable,
    sums_from_above,
    tied,
)

scores = hnp.arrays(np.float32, st.integers(0, 30), elements=st.floats(width=32, allow_nan=False))
key_lists = st.lists(st.integers(-5, 5), max_size=30)


def histogram_of(keys: list[int]) -> Histogram:
    return histograms_by_class(np.array(keys, dtype=np.int32), np.zeros(len(keys)))[0]


def as_dict(histogram: Histogram) -> dict[int, float]:
    assert (np.diff(histogram.keys) > 0).all()
    return dict(zip(histogram.keys.tolist(), histogram.sums.tolist(), strict=True))


@given(scores)
def test_integers_sort_as_the_scores_do_and_give_them_back(values: np.ndarray) -> None:
    keys = sortable(values)
    order = np.argsort(keys, kind="stable")
    np.testing.assert_array_equal(values[order], np.sort(values))
    np.testing.assert_array_equal(scores_of(keys), values.astype(np.float64))


def test_both_zeros_are_one_score() -> None:
    assert sortable(np.float32([-0.0]))[0] == sortable(np.float32([0.0]))[0]


@given(st.lists(st.tuples(st.integers(-5, 5), st.sampled_from([0.0, 1.0, 0.5, 1 / 3])), max_size=30))
def test_pixels_are_counted_and_weights_summed_by_class(pixels: list[tuple[int, float]]) -> None:
    keys = np.array([key for key, _ in pixels], dtype=np.int32)
    normal, anomalous, weight = histograms_by_class(keys, np.array([w for _, w in pixels]))
    assert as_dict(normal) == Counter(key for key, w in pixels if w == 0)
    assert as_dict(anomalous) == Counter(key for key, w in pixels if w > 0)
    for key, total in as_dict(weight).items():
        assert abs(total - sum(w for k, w in pixels if k == key)) <= len(pixels) * WEIGHT_UNIT


@given(key_lists, key_lists)
def test_a_merge_is_the_histogram_of_all(one: list[int], other: list[int]) -> None:
    assert as_dict(merged(histogram_of(one), histogram_of(other))) == Counter(one + other)


@given(key_lists, st.integers(0, 3))
def test_coarser_bins_hold_what_their_parts_held(keys: list[int], drop: int) -> None:
    assert as_dict(coarser(histogram_of(keys), drop)) == Counter(key // 2**drop for key in keys)


@given(key_lists)
def test_sums_from_above_start_at_nothing_and_end_at_all(keys: list[int]) -> None:
    all_keys = np.arange(-5, 6, dtype=np.int32)
    sums = sums_from_above(histogram_of(keys), all_keys)
    assert sums.tolist() == [sum(key >= least for key in keys) for least in range(6, -6, -1)]


def test_the_histogram_of_no_pixel_is_empty() -> None:
    assert as_dict(histogram_of([])) == as_dict(EMPTY) == {}


def test_scores_of_a_device_are_tied_within_its_rounding():
    scores = np.float32([1.0, 1.0 + 2**-23, 1.0 + 5 * 2**-23, 1.0 + 64 * 2**-23, -2.0, 0.0, 3.4e38])
    keys = tied(sortable(scores))
    assert keys[0] == keys[1] == keys[2] < keys[3]
    np.testing.assert_allclose(scores_of(keys), scores.astype(np.float64), rtol=8e-6)
