"""Interactive charts of a report, made with Plotly."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import chain, takewhile
from math import isfinite
from typing import Any

from cuvis_ai.errors import import_extra
from cuvis_ai.training.monitors.records import is_share
from cuvis_ai.training.monitors.report.record import Record, Value
from cuvis_ai.training.visualizations.drawing.style import SERIES

_DASHES = {"train": "dash", "val": "solid", "test": "dot"}


def script() -> str:
    """Return Plotly's JavaScript, to be inlined once."""
    offline = import_extra("plotly.offline", "report", "a report")
    return str(offline.get_plotlyjs())


def charts(record: Record) -> list[str]:
    """Return losses and metrics over the epochs, then losses over the steps, as HTML.

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


def _lines(title: str, axis: str, series: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> str:
    figure = _figure()
    for i, (name, (x, y)) in enumerate(series.items()):
        line = {"color": SERIES[i % len(SERIES)], "dash": _DASHES.get(name.split("/")[0], "solid")}
        figure.add_scatter(
            x=x, y=y, name=escape(name), mode="lines+markers" if len(x) < 50 else "lines", line=line
        )
    figure.update_layout(title=escape(title), xaxis_title=axis, yaxis_title="value")
    if axis == "epoch" and max(chain.from_iterable(x for x, _ in series.values())) <= 20:
        figure.update_xaxes(dtick=1)
    values = [value for value in chain.from_iterable(y for _, y in series.values()) if isfinite(value)]
    if values and min(values) > 0 and max(values) > 100 * min(values):
        figure.update_yaxes(type="log")
    elif len(set(values)) == 1 and values[0]:
        # Plotly would show a constant on an axis from −1 to 1.
        figure.update_yaxes(range=sorted((0.0, 2.0 * values[0])))
    if all(map(is_share, series)):
        figure.update_yaxes(tickformat=".0%", hoverformat=".1%")
    return _html(figure)


def explained_variance(record: Record) -> str | None:
    """Return the share of the variance that each component explains in the last epoch; None if unknown."""
    prefix = "val/metric/explained_variance_"
    scalars = (value.scalar for value in record.values if value.scalar.name.startswith(prefix))
    latest = {scalar.name.removeprefix(prefix): scalar.value for scalar in scalars}
    shares = {name: share for name, share in latest.items() if name.startswith("pc")}
    if not shares:
        return None
    figure = _figure()
    labels = [escape(f"component {name.removeprefix('pc')}") for name in shares]
    figure.add_bar(
        x=labels, y=list(shares.values()), marker_color=SERIES[0], texttemplate="%{y:.1%}", name="share"
    )
    total = f", in total {latest['total']:.1%}" if "total" in latest else ""
    figure.update_layout(title=f"Explained variance{total}", yaxis_title="share of total variance")
    figure.update_yaxes(tickformat=".0%")
    return _html(figure)


def _figure() -> Any:
    return import_extra("plotly.graph_objects", "report", "a report").Figure()


def _html(figure: Any) -> str:
    figure.update_layout(
        template="plotly_white", height=380, margin={"l": 70, "r": 20, "t": 50, "b": 50}, font_size=14
    )
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False}))
