"""Charts of a report, as SVG."""

import io
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from cuvis_ai.training.monitors.report.record import Record, Value
from cuvis_ai.training.visualizations.drawing.style import SERIES

_STROKES = {"train": "--", "val": "-", "test": ":"}
_POINTS = 400
"""Pairs of points of a line that are drawn: a chart has about as many columns."""
_MARKED = 50
"""Fewer points than this are marked."""
_WIDTH, _HEIGHT = 5.2, 3.0
Series = Mapping[str, tuple[Sequence[int], Sequence[float]]]


class Chart(NamedTuple):
    """A drawing."""

    title: str
    svg: bytes


def charts(record: Record) -> list[Chart]:
    """Return losses and metrics over the epochs, then losses over the steps.

    A group of which only one epoch is known has no chart: single points say less than the table of results.
    """
    by_group: dict[tuple[int, str], dict[str, tuple[list[int], list[float]]]] = {}
    for value in record.values:
        if value.scalar.stage == "start":  # one point; the table of results has it
            continue
        x, y = by_group.setdefault(_group(value), {}).setdefault(value.scalar.name, ([], []))
        x.append(value.scalar.step)
        y.append(value.scalar.value)
    return [
        _lines(_title(group, series), _AXES[order], series)
        for (order, group), series in sorted(by_group.items())
        if any(len(x) > 1 for x, _ in series.values())
    ]


_AXES = ("epoch", "epoch", "optimizer step")


def _group(value: Value) -> tuple[int, str]:
    """Values that share a chart: all losses; all thresholds; metrics whose names begin with the same word."""
    if value.per_step:
        return 2, "losses per step"
    _, kind, name = [*value.scalar.name.split("/", 2), "", ""][:3]
    if kind == "loss":
        return 0, "losses per epoch"
    return 1, "thresholds" if name.endswith("threshold") else name.partition("_")[0]


def _title(group: str, series: Mapping[str, object]) -> str:
    """The group, or for metrics the words that all names begin with."""
    if group.startswith("losses") or group == "thresholds":
        return group.capitalize()
    words = zip(*(name.split("/", 2)[-1].split("_") for name in series), strict=False)
    return " ".join(same[0] for same in takewhile(lambda at: len(set(at)) == 1, words)).capitalize()


def _lines(title: str, axis: str, series: Series) -> Chart:
    figure, axes = _axes(title, rows=len(series))
    for i, (name, (x, y)) in enumerate(series.items()):
        steps, values = _subsampled(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
        axes.plot(
            steps, values, _STROKES.get(name.split("/")[0], "-"), color=SERIES[i % len(SERIES)],
            marker="o" if len(x) < _MARKED else "", markersize=3.5, linewidth=1.6, label=name, gid=name,
        )  # fmt: skip
    axes.set_xlabel(axis)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    values = np.concatenate([np.asarray(y, dtype=np.float64) for _, y in series.values()])
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > 100 * finite.min():
        axes.set_yscale("log")
    _legend(figure, axes)
    return _chart(title, figure)


def _subsampled(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and the greatest point of each of many parts of a long line, so that peaks stay."""
    if len(x) <= 2 * _POINTS:
        return x, y
    shown = []
    for part in np.array_split(np.arange(len(x)), _POINTS):
        finite = part[np.isfinite(y[part])]
        if len(finite):
            shown += sorted({int(finite[y[finite].argmin()]), int(finite[y[finite].argmax()])})
    return x[shown], y[shown]


def explained_variance(record: Record) -> Chart | None:
    """Return the share of the variance that each component explains in the last epoch; None if unknown."""
    prefix = "val/metric/explained_variance_"
    scalars = (value.scalar for value in record.values if value.scalar.name.startswith(prefix))
    latest = {scalar.name.removeprefix(prefix): scalar.value for scalar in scalars}
    shares = {name: share for name, share in latest.items() if name.startswith("pc")}
    if not shares:
        return None
    total = f", in total {latest['total']:.1%}" if "total" in latest else ""
    title = f"Explained variance{total}"
    figure, axes = _axes(title)
    numbers = [name.removeprefix("pc") for name in shares]
    bars = axes.bar(numbers, list(shares.values()), color=SERIES[0])
    if len(shares) <= 8:
        axes.bar_label(bars, labels=[f"{share:.1%}" for share in shares.values()])
    axes.set_xlabel("component")
    axes.set_ylabel("share of total variance")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
    return _chart(title, figure)


def _axes(title: str, rows: int = 0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, _HEIGHT + 0.18 * rows), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, parse_math=False)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _legend(figure: Figure, axes: Axes) -> None:
    handles, _ = axes.get_legend_handles_labels()
    legend = figure.legend(handles=handles, loc="outside lower left", frameon=False, fontsize=9.0)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name may hold a dollar


def _chart(title: str, figure: Figure) -> Chart:
    content = io.BytesIO()
    # Texts stay texts, in the reader's own font; identifiers are the same each time.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "cuvis_ai"}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return Chart(title, content.getvalue())
