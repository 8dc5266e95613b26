"""Precision, recall, false alarms and what is detected are those of the whole epoch."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

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


def test_false_alarms_and_detected_are_of_the_whole_epoch(graph):
    seen = batches(3)
    scores, truth = scores_and_truth(graph, seen)
    got = drawn(graph, seen)["roc"]
    assert got["auroc"] == pytest.approx(roc_auc_score(truth, scores))
    false_alarms, detected, _ = roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(got["false_alarms"], false_alarms)
    np.testing.assert_allclose(got["detected"], detected)


@pytest.mark.parametrize(("anomalous", "names"), [(True, {"precision_recall"}), (False, set())])
def test_a_curve_is_drawn_where_it_is_defined(graph, anomalous, names):
    seen = batches()
    for batch in seen:
        batch["mask"] = torch.full_like(batch["mask"], anomalous)
    assert {"precision_recall", "roc"} & set(drawn(graph, seen)) == names
