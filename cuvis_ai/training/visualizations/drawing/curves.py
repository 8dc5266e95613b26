"""Detection quality over all thresholds."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cuvis_ai.training.visualizations.drawing import style


class OperatingPoint(NamedTuple):
    """One threshold."""

    recall: float
    precision: float
    label: str
    """How the legend names it."""


def draw_precision_recall(
    recall: NDArray[np.floating],
    precision: NDArray[np.floating],
    *,
    average_precision: float,
    share: float,
    points: tuple[OperatingPoint, ...] = (),
) -> Figure:
    """Return precision over recall, as the steps whose area is the average precision.

    Args:
        recall: (n,) not falling.
        precision: (n,) at each of them.
        average_precision: Σᵢ (Rᵢ − Rᵢ₋₁) Pᵢ.
        share: of anomalous pixels, the precision of guessing.
        points: thresholds to mark.
    """
    figure, (axes,) = style.panels(1, 0.8)
    x, y = np.concatenate([[0.0], recall]), np.concatenate([precision[:1], precision])
    label = f"average precision {average_precision:.3f}"
    axes.plot(x, y, drawstyle="steps-pre", color=style.NORMAL, linewidth=2.5, label=label)
    axes.axhline(share, color="0.4", linestyle=":", linewidth=2, label=f"guessing: {share:.2%}")
    for point, marker in zip(points, "osD^v", strict=False):
        axes.plot(
            [point.recall], [point.precision], marker, color=style.ANOMALY, markersize=10, label=point.label
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.4)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    style.label(
        axes, "Precision and recall", "recall (share of anomalies found)", "precision (share of alarms right)"
    )
    style.legend(axes)
    return figure


def draw_roc(
    false_alarms: NDArray[np.floating], detected: NDArray[np.floating], *, auroc: float, least: float
) -> Figure:
    """Return the share of detected anomalies over that of false alarms, beside it on a logarithmic axis.

    Args:
        false_alarms: (n,) not falling, from 0 to 1.
        detected: (n,) at each of them.
        auroc: the area under the curve.
        least: the left end of the logarithmic axis, above 0.
    """
    figure, panels = style.panels(2, 0.8)
    for axes, logarithmic in zip(panels, (False, True), strict=True):
        area = f"area under the curve {auroc:.4f}"
        axes.plot(false_alarms, detected, color=style.NORMAL, linewidth=2.5, label=area)
        guessing = np.geomspace(least, 1.0, 200)
        axes.plot(guessing, guessing, color="0.4", linestyle=":", linewidth=2, label="guessing")
        axes.set_ylim(-0.02, 1.02)
        title = "The same, few false alarms" if logarithmic else "Receiver operating characteristic"
        style.label(axes, title, "false alarms (share of normal pixels)", "detected (share of anomalies)")
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(least, 1.0)
        else:
            axes.set_xlim(-0.02, 1.02)
            axes.legend(loc="lower right", framealpha=0.85)
    return figure
