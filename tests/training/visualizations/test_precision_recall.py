"""Precision and recall are those of the whole epoch."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from tests.recorded_run import batches, drawn, scores_and_truth


def test_precision_and_recall_are_of_the_whole_epoch(graph):
    seen = batches(3)
    scores, truth = scores_and_truth(graph, seen)
    got = drawn(graph, seen)["precision_recall"]
    expected = average_precision_score(truth, scores)
    assert got["average_precision"] == pytest.approx(expected)
    steps = np.diff(got["recall"], prepend=0.0)
    assert (steps * got["precision"]).sum() == pytest.approx(expected)
    assert got["recall"][-1] == 1.0
