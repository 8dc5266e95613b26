"""Curves over all thresholds, beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

from cuvis_ai.training.visualizations.drawing.curves import OperatingPoint, draw_precision_recall, draw_roc
from tests.training.visualizations.drawing.arrays import MASK, SCORES

RNG = np.random.default_rng(0)


def test_area_under_the_drawn_steps_is_the_average_precision():
    truth, scores = MASK.ravel() ^ (RNG.random(48) < 0.1), SCORES.ravel()
    precision, recall, _ = precision_recall_curve(truth, scores)
    area = average_precision_score(truth, scores)
    point = OperatingPoint(0.5, 0.6, "best")
    figure = draw_precision_recall(
        recall[-2::-1], precision[-2::-1], average_precision=area, share=0.1, points=(point,)
    )
    steps, guess, mark = figure.axes[0].lines
    assert steps.get_drawstyle() == "steps-pre"
    assert np.sum(np.diff(steps.get_xdata()) * steps.get_ydata()[1:]) == pytest.approx(area)
    assert guess.get_ydata()[0] == 0.1
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (0.5, 0.6)


def test_roc_is_drawn_from_corner_to_corner_and_once_more_where_false_alarms_are_few():
    false_alarms, detected = np.array([0.0, 0.0, 0.1, 1.0]), np.array([0.0, 0.5, 0.8, 1.0])
    figure = draw_roc(false_alarms, detected, auroc=0.9, least=1e-3)
    for axes, scale in zip(figure.axes, ("linear", "log"), strict=True):
        assert axes.get_xscale() == scale
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), false_alarms)
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), detected)
    assert figure.axes[1].get_xlim() == (1e-3, 1.0)
