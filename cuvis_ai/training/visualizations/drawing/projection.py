"""Scatter plots of pixels over pairs of components, and the bounded subsample of a stream that they show."""

from itertools import combinations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cuvis_ai.training.visualizations.drawing import style

Rows = NDArray[np.floating]


class Subsample:
    """Every s-th row of a stream, with s = 1, 2, 4, … as large as it takes to hold `limit` rows at most.

    The subsample is even over the stream and the same in every epoch, whatever the sizes of the batches.

    Args:
        limit: rows that are held at most; 1 or more.
        width: numbers a row.
    """

    def __init__(self, limit: int, width: int) -> None:
        self.limit = limit
        self.stride = 1
        self.seen = 0
        self._kept: list[Rows] = [np.empty((0, width), dtype=np.float32)]

    def update(self, rows: Rows) -> None:
        """Take in rows (n, width)."""
        first = -self.seen % self.stride
        self.seen += len(rows)
        self._kept.append(np.array(rows[first :: self.stride]))
        while sum(map(len, self._kept)) > self.limit:
            self.stride *= 2
            self._kept = [np.concatenate(self._kept)[::2]]

    @property
    def rows(self) -> Rows:
        """The rows that are held, in the order of the stream."""
        return np.concatenate(self._kept)


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

    Example:
        >>> import numpy as np
        >>> random = np.random.default_rng(0)
        >>> figure = draw_scatter(random.normal(size=(50, 2)), random.normal(size=(5, 2)) + 3)
        >>> len(figure.axes)
        1
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
