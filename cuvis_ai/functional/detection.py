"""Detection measures from counts: AUROC, average precision, AUPRO, F1, precision, recall and IoU.

A pixel is predicted as an anomaly where score > threshold, strictly. A value that is undefined for
want of anomalies or of normal pixels is None, so that a report can leave it out; a ratio
of a confusion whose denominator is 0 is 0, as in scikit-learn.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

PRO_LIMIT = 0.3
"""The false-positive rate up to which AUPRO looks, as in Bergmann et al. 2021."""


class Confusion(NamedTuple):
    """Pixels by prediction and truth."""

    tp: int
    """Anomalies predicted as such."""
    fp: int
    """Normal pixels predicted as anomalies."""
    fn: int
    """Anomalies that were missed."""
    tn: int
    """Normal pixels predicted as such."""


class Curve(NamedTuple):
    """What is predicted at every threshold that makes a difference, highest threshold first.

    At the first point nothing is predicted, at the last point everything.
    """

    thresholds: Float[Tensor, " m"]
    """Pixels with score > threshold are predicted."""
    tp: Int[Tensor, " m"]
    """Anomalies predicted; the last entry is their number P."""
    fp: Int[Tensor, " m"]
    """Normal pixels predicted; the last entry is their number N."""
    overlap: Float[Tensor, " m"]
    """Sum over regions of the share that is predicted; the last entry is the number of regions."""


class BestF1(NamedTuple):
    """The greatest F1 of a curve."""

    value: float
    threshold: float
    """Predicting where score > threshold gives that F1; the highest such threshold."""


def auroc(curve: Curve) -> float | None:
    """Return the area under the receiver operating characteristic.

    Σᵢ (fpᵢ − fpᵢ₋₁) (tpᵢ + tpᵢ₋₁) / (2 P N): the probability that an anomaly scores higher than a
    normal pixel, ties counted half. None without an anomaly or without a normal pixel.

    Example:
        >>> import torch
        >>> from cuvis_ai.stats import ScoreDistribution
        >>> scores = ScoreDistribution()
        >>> scores.update(
        ...     torch.tensor([[1.0], [2.0], [3.0], [4.0]]), truth=torch.tensor([False, True, False, True])
        ... )
        >>> auroc(scores.curve())  # of four pairs, three are in order
        0.75

    Reference:
        Fawcett, "An introduction to ROC analysis", 2006, algorithm 2.
    """
    n_anomalous, n_normal = int(curve.tp[-1]), int(curve.fp[-1])
    if n_anomalous == 0 or n_normal == 0:
        return None
    # Rates are multiplied by whole steps, whose sum is exact: so rounding cannot lead above 1.
    rates = (curve.tp[1:] + curve.tp[:-1]).double() / (2 * n_anomalous)
    return float((curve.fp.diff() * rates).sum()) / n_normal


def average_precision(curve: Curve) -> float | None:
    """Return Σᵢ (Rᵢ − Rᵢ₋₁) Pᵢ with recall R = tp / P and precision P = tp / (tp + fp).

    The step-wise sum of scikit-learn, without interpolation. None without an anomaly.

    Example:
        >>> import torch
        >>> from cuvis_ai.stats import ScoreDistribution
        >>> scores = ScoreDistribution()
        >>> scores.update(torch.tensor([[1.0], [2.0], [3.0]]), truth=torch.tensor([True, False, True]))
        >>> round(average_precision(scores.curve()), 4)  # (1 + 2 / 3) / 2
        0.8333

    Reference:
        scikit-learn, `sklearn.metrics.average_precision_score`.
    """
    n_anomalous = int(curve.tp[-1])
    if n_anomalous == 0:
        return None
    tp, fp = curve.tp[1:].double(), curve.fp[1:].double()
    return float((curve.tp.diff() * (tp / (tp + fp))).sum()) / n_anomalous


class Ranking(NamedTuple):
    """How well scores rank anomalies before normal pixels."""

    auroc: float
    average_precision: float


def ranking(curve: Curve) -> Ranking | None:
    """Return AUROC and average precision; None without an anomaly or without a normal pixel.

    Example:
        >>> import torch
        >>> from cuvis_ai.stats import ScoreDistribution
        >>> scores = ScoreDistribution()
        >>> scores.update(torch.tensor([[1.0], [2.0]]), truth=torch.tensor([False, True]))
        >>> ranking(scores.curve())
        Ranking(auroc=1.0, average_precision=1.0)
    """
    area, mean_precision = auroc(curve), average_precision(curve)
    return None if area is None or mean_precision is None else Ranking(area, mean_precision)


def ranks_as_well(after: Ranking, before: Ranking) -> bool:
    """Return whether AUROC falls by at most .001 and average precision by at most .005.

    Example:
        >>> ranks_as_well(after=Ranking(0.9, 0.52), before=Ranking(0.95, 0.5))
        False
    """
    return after.auroc >= before.auroc - 0.001 and after.average_precision >= before.average_precision - 0.005


def best_f1(curve: Curve) -> BestF1 | None:
    """Return the greatest F1 = 2 tp / (P + tp + fp) over all thresholds; None without an anomaly.

    Example:
        >>> import torch
        >>> from cuvis_ai.stats import ScoreDistribution
        >>> scores = ScoreDistribution()
        >>> scores.update(torch.tensor([[1.0], [2.0], [4.0]]), truth=torch.tensor([False, False, True]))
        >>> best_f1(scores.curve())
        BestF1(value=1.0, threshold=3.0)
    """
    n_anomalous = int(curve.tp[-1])
    if n_anomalous == 0:
        return None
    values = 2.0 * curve.tp.double() / (n_anomalous + curve.tp + curve.fp)
    best = int(values.argmax())
    return BestF1(float(values[best]), float(curve.thresholds[best]))


def aupro(curve: Curve, limit: float = PRO_LIMIT) -> float | None:
    """Return the normalised area under the per-region overlap, up to a false-positive rate.

    (1 / limit) ∫₀^limit PRO d FPR with PRO = overlap / regions, the mean share of an anomalous
    region that is predicted, and FPR = fp / N; trapezoids, linear interpolation at the limit. None
    without an anomaly or without a normal pixel. Where anomalies were given as flags rather than
    region weights, each anomalous pixel is a region of its own.

    Args:
        curve: all thresholds.
        limit: the greatest false-positive rate, above 0 and at most 1.

    Example:
        >>> import torch
        >>> from cuvis_ai.stats import ScoreDistribution
        >>> scores = ScoreDistribution()  # a region of two pixels, each weighing half
        >>> scores.update(
        ...     torch.tensor([[0.0], [1.0], [2.0], [3.0]]), truth=torch.tensor([0.0, 0.0, 0.5, 0.5])
        ... )
        >>> aupro(scores.curve())
        1.0

    Reference:
        Bergmann, Batzner, Fauser, Sattlegger, Steger, "The MVTec Anomaly Detection Dataset", 2021,
        section 5.2.
    """
    if int(curve.tp[-1]) == 0 or int(curve.fp[-1]) == 0:
        return None
    rates = (curve.fp.double() / curve.fp[-1]).numpy()
    overlaps = (curve.overlap / curve.overlap[-1]).numpy()
    at_limit = np.interp(limit, rates, overlaps)
    inside = rates <= limit
    x, y = np.append(rates[inside], limit), np.append(overlaps[inside], at_limit)
    area = np.diff(x) @ (y[1:] + y[:-1]) / 2
    # A perfect curve's steps may sum to one rounding above the limit.
    return min(float(area) / limit, 1.0)


class FalseAlarmPoint(NamedTuple):
    """The lowest threshold of a curve with a limited share of false alarms."""

    threshold: float
    """Predicting where score > threshold gives these rates."""
    detection_rate: float | None
    """tp / P; None without an anomaly."""
    false_alarm_rate: float
    """fp / N, at most the limit."""


def at_false_alarm_rate(curve: Curve, rate: float) -> FalseAlarmPoint | None:
    """Return the point at which most is detected while fp / N ≤ rate.

    Its threshold is the (1 − rate) quantile of the normal pixels' scores, as far as ties allow. None without
    a normal pixel.

    Example:
        >>> import torch
        >>> from cuvis_ai.stats import ScoreDistribution
        >>> scores = ScoreDistribution()
        >>> scores.update(torch.arange(11.0)[:, None], truth=torch.arange(11) == 10)
        >>> point = at_false_alarm_rate(scores.curve(), 0.1)
        >>> point.detection_rate, point.false_alarm_rate
        (1.0, 0.1)
    """
    n_anomalous, n_normal = int(curve.tp[-1]), int(curve.fp[-1])
    if n_normal == 0:
        return None
    # Rates are compared as quotients: .01 · N may round below the whole number that it is.
    last = int((curve.fp.double() / n_normal <= rate).sum()) - 1
    detected = int(curve.tp[last]) / n_anomalous if n_anomalous else None
    return FalseAlarmPoint(float(curve.thresholds[last]), detected, int(curve.fp[last]) / n_normal)


def false_alarm_rate(confusion: Confusion) -> float:
    """Return fp / (fp + tn), the share of normal pixels that are predicted; 0 if there are none.

    Example:
        >>> false_alarm_rate(Confusion(tp=3, fp=1, fn=1, tn=99))
        0.01
    """
    return _ratio(confusion.fp, confusion.fp + confusion.tn)


def precision(confusion: Confusion) -> float:
    """Return tp / (tp + fp), the share of predictions that are right; 0 if nothing is predicted.

    Example:
        >>> precision(Confusion(tp=3, fp=1, fn=1, tn=99))
        0.75
    """
    return _ratio(confusion.tp, confusion.tp + confusion.fp)


def recall(confusion: Confusion) -> float:
    """Return tp / (tp + fn), the share of anomalies that are found; 0 if there are none.

    Example:
        >>> recall(Confusion(tp=3, fp=1, fn=3, tn=99))
        0.5
    """
    return _ratio(confusion.tp, confusion.tp + confusion.fn)


def f1(confusion: Confusion) -> float:
    """Return 2 tp / (2 tp + fp + fn), the harmonic mean of precision and recall; 0 for 0 / 0.

    Example:
        >>> f1(Confusion(tp=3, fp=1, fn=1, tn=99))
        0.75
    """
    return _ratio(2 * confusion.tp, 2 * confusion.tp + confusion.fp + confusion.fn)


def iou(confusion: Confusion) -> float:
    """Return tp / (tp + fp + fn), intersection over union (Jaccard's index); 0 for 0 / 0.

    Example:
        >>> iou(Confusion(tp=3, fp=1, fn=1, tn=99))
        0.6
    """
    return _ratio(confusion.tp, confusion.tp + confusion.fp + confusion.fn)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
