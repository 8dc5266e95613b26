"""The picture of detection quality over all thresholds."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from cuvis_ai.functional.detection import average_precision, best_f1
from cuvis_ai.leaf.bases import Picture, Visualization, require_score
from cuvis_ai.leaf.reading import Observation, Read, Sketches, Truth
from cuvis_ai.node.base import Node
from cuvis_ai.stats import ScoreDistribution
from cuvis_ai.training.visualizations.drawing.curves import OperatingPoint, draw_precision_recall

_MOST_POINTS = 4000
"""Points of a curve that are drawn: more than a picture has columns."""


class PrecisionRecallPlot(Visualization):
    """Precision over recall at all thresholds (`precision_recall`); of batches with a mask.

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.

    Example:
        >>> import torch
        >>> from cuvis_ai.anomaly.rx_detector import RXGlobal
        >>> scores = ScoreDistribution()
        >>> scores.update(torch.tensor([[1.0], [2.0], [3.0]]), truth=torch.tensor([False, True, True]))
        >>> [picture] = PrecisionRecallPlot().draw(RXGlobal(), {"scores": scores})
        >>> float(picture.data["average_precision"])  # both anomalies score higher than the normal pixel
        1.0
    """

    def __init__(self, *, log_frequency: int = 1) -> None:
        super().__init__(log_frequency)

    @override
    def check_parent(self, parent: Node, channels: int | None) -> None:
        require_score(parent, channels, self)

    @override
    def observes(self) -> Mapping[str, Observation]:
        return {"scores": Observation(Read.OUTPUT, ScoreDistribution, Truth.REQUIRED)}

    @override
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        scores: ScoreDistribution = sketches["scores"]
        quality = quality_of(scores)
        if quality is None:
            return []
        figure = draw_precision_recall(
            quality.recall,
            quality.precision,
            average_precision=quality.average_precision,
            share=quality.share,
            points=(quality.best,),
        )
        drawn = {
            "recall": quality.recall,
            "precision": quality.precision,
            "average_precision": np.asarray(quality.average_precision),
        }
        return [Picture("precision_recall", figure, drawn)]


class Quality(NamedTuple):
    """Precision over recall, with no more points than a picture can show."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: float
    share: float
    best: OperatingPoint


def quality_of(scores: ScoreDistribution) -> Quality | None:
    """Return precision and recall at all thresholds; None where there is no anomaly."""
    curve = scores.curve()
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
