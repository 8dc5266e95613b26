"""Pixels in the plane of two components."""

from itertools import combinations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cuvis_ai.training.visualizations.drawing import style


def draw_scatter(
    normal: NDArray[np.floating],
    anomalous: NDArray[np.floating] | None = None,
    shares: NDArray[np.floating] | None = None,
) -> Figure:
    """Return pixels over each pair of components.

    Args:
        normal: (n, d) scores of normal pixels, of all where the truth is not known; d = 2 or 3.
        anomalous: (m, d).
        shares: (d,) of the variance that each component explains, for the axes.
    """
    pairs = list(combinations(range(normal.shape[1]), 2))
    figure, axes = style.panels(len(pairs), 0.9)
    known = anomalous is not None
    for one, (i, j) in zip(axes, pairs, strict=True):
        one.scatter(normal[:, i], normal[:, j], s=8, color=style.NORMAL, alpha=0.35, linewidths=0)
        if anomalous is not None:
            one.scatter(
                anomalous[:, i], anomalous[:, j], s=26, marker="^", color=style.ANOMALY,
                edgecolors="white", linewidths=0.4,
            )  # fmt: skip
        style.label(one, f"Components {i + 1} and {j + 1}", _axis(i, shares), _axis(j, shares))
        one.margins(0.04)
        style.few_ticks(one)
    handles = [_marker("o", style.NORMAL, "normal" if known else "all")]
    if known:
        handles.append(_marker("^", style.ANOMALY, "anomalous"))
    style.legend_below(figure, handles)
    return figure


def _marker(marker: str, colour: str, label: str) -> Line2D:
    """A handle for the legend, larger than the markers that it stands for."""
    return Line2D([], [], marker=marker, color=colour, linestyle="", markersize=9, label=f"{label} pixels")


def _axis(i: int, shares: NDArray[np.floating] | None) -> str:
    return f"score {i + 1}" if shares is None else f"score {i + 1} ({shares[i]:.1%} of variance)"
