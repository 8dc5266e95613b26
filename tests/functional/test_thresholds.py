"""Thresholds from mean and deviation."""

import pytest

from cuvis_ai.functional.thresholds import above_mean


def test_threshold_lies_so_many_deviations_above_the_mean() -> None:
    assert above_mean(2.0, 0.5, 3.0) == pytest.approx(3.5)
    assert above_mean(2.0, 0.5, -1.0) == pytest.approx(1.5)


def test_threshold_of_a_single_score_is_that_score() -> None:
    assert above_mean(2.0, float("nan"), 3.0) == 2.0
