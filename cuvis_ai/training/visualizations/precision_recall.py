"""The pictures of detection quality over all thresholds."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from typing_extensions import override

from cuvis_ai.functional.detection import Curve, auroc, average_precision, best_f1
from cuvis_ai.leaf import Observation, Picture, Read, Sketches, Truth, Visualization, needs_score
from cuvis_ai.node.base import Node
from cuvis_ai.stats import ScoreDistribution
from cuvis_ai.training.visualizations.drawing.curves import OperatingPoint, draw_precision_recall, draw_roc

_MOST_POINTS = 4000
"""Points of a curve that are drawn: more than a picture has columns."""


class PrecisionRecallPlot(Visualization):
    """Precision over recall (`precision_recall`) and detected over false alarms (`roc`), at all thresholds.

    Of batches with a mask; without a normal pixel there are no false alarms to draw.

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.

    Example:
        >>> import torch
        >>> from cuvis_ai.anomaly.rx_detector import RXGlobal
        >>> scores = ScoreDistribution()
        >>> scores.update(torch.tensor([[1.0], [2.0], [3.0]]), truth=torch.tensor([False, True, True]))
        >>> quality, roc = PrecisionRecallPlot().draw(RXGlobal(), {"scores": scores})
        >>> float(quality.data["average_precision"])  # both anomalies score higher than the normal pixel
        1.0
        >>> float(roc.data["auroc"])
        1.0
    """

    check_parent = needs_score

    @override
    def observes(self) -> Mapping[str, Observation]:
        return {"scores": Observation(Read.OUTPUT, ScoreDistribution, Truth.REQUIRED)}

    @override
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        curve = sketches["scores"].curve()
        quality, roc = quality_of(curve), roc_of(curve)
        pictures = []
        if quality is not None:
            drawn = {
                "recall": quality.recall,
                "precision": quality.precision,
                "average_precision": np.asarray(quality.average_precision),
            }
            pictures.append(Picture("precision_recall", quality.figure(), drawn))
        if roc is not None:
            drawn = {
                "false_alarms": roc.false_alarms,
                "detected": roc.detected,
                "auroc": np.asarray(roc.auroc),
            }
            pictures.append(Picture("roc", roc.figure(), drawn))
        return pictures


class Quality(NamedTuple):
    """Precision over recall, with no more points than a picture can show."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: float
    share: float
    best: OperatingPoint

    def figure(self) -> Figure:
        """Return the drawing, the best F1 marked."""
        return draw_precision_recall(
            self.recall,
            self.precision,
            average_precision=self.average_precision,
            share=self.share,
            points=(self.best,),
        )


class Roc(NamedTuple):
    """Detected anomalies over false alarms, with no more points than a picture can show."""

    false_alarms: NDArray[np.float64]
    detected: NDArray[np.float64]
    auroc: float
    n_normal: int

    def figure(self) -> Figure:
        """Return the drawing, down to less than one false alarm."""
        least = max(1e-6, 0.5 / self.n_normal)
        return draw_roc(self.false_alarms, self.detected, auroc=self.auroc, least=least)


def quality_of(curve: Curve) -> Quality | None:
    """Return precision and recall at all thresholds; None where there is no anomaly."""
    area, best = average_precision(curve), best_f1(curve)
    if area is None or best is None:
        return None
    tp, fp = curve.tp[1:].double().numpy(), curve.fp[1:].double().numpy()
    recall, precision = tp / tp[-1], tp / (tp + fp)
    at_best = int((curve.thresholds > best.threshold).sum()) - 1
    label = f"best F1 {best.value:.3f}: score > {best.threshold:.3g}"
    point = OperatingPoint(float(recall[at_best]), float(precision[at_best]), label)
    # Where recall stays, precision only falls: the first and the last point say it all.
    rises = np.diff(recall, prepend=-1.0, append=2.0) > 0
    shown = np.flatnonzero(rises[1:] | rises[:-1])
    if len(shown) > _MOST_POINTS:
        shown = shown[np.linspace(0, len(shown) - 1, _MOST_POINTS).round().astype(int)]
    share = float(tp[-1] / (tp[-1] + fp[-1]))
    return Quality(recall[shown], precision[shown], area, share, point)


def roc_of(curve: Curve) -> Roc | None:
    """Return both shares at all thresholds; None where there is no anomaly or no normal pixel."""
    area = auroc(curve)
    if area is None:
        return None
    n_normal = int(curve.fp[-1])
    false_alarms = (curve.fp.double() / n_normal).numpy()
    detected = (curve.tp.double() / curve.tp[-1]).numpy()
    shown = _spread(false_alarms + detected)
    return Roc(false_alarms[shown], detected[shown], area, n_normal)


def _spread(along: NDArray[np.float64]) -> Sequence[int]:
    """Positions of so many points as a picture can show, evenly along a curve and dense at its beginning."""
    if len(along) <= _MOST_POINTS:
        return range(len(along))
    half = _MOST_POINTS // 2
    evenly = np.searchsorted(along, np.linspace(along[0], along[-1], half), side="left")
    dense = np.geomspace(1, len(along), half).astype(int) - 1
    found: list[int] = np.unique(np.concatenate([evenly, dense, [len(along) - 1]])).tolist()
    return found
