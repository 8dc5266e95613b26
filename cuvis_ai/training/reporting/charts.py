"""The interactive charts of a report, made with Plotly.

May import: `errors`, `training.drawing.style`, `training.reporting.record`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cuvis_ai.errors import import_extra
from cuvis_ai.training.drawing.style import SERIES
from cuvis_ai.training.reporting.record import Record

_DASHES = {"train": "dash", "val": "solid", "test": "dot"}


def script() -> str:
    """Return Plotly's JavaScript, to be inlined once."""
    offline = import_extra("plotly.offline", "report", "a report")
    return str(offline.get_plotlyjs())


def charts(record: Record) -> list[str]:
    """Return losses and metrics over the epochs, then losses over the steps, as HTML."""
    found = []
    by_title: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for value in record.values:
        name = value.scalar.name
        title = "Losses, per step" if value.per_step else _title(name)
        x, y = by_title.setdefault(title, {}).setdefault(name, ([], []))
        x.append(value.scalar.step)
        y.append(value.scalar.value)
    for title in sorted(by_title, key=_order):
        axis = "optimizer step" if title == "Losses, per step" else "epoch"
        found.append(_lines(title, axis, by_title[title]))
    return found


def _title(name: str) -> str:
    """Values that share a chart: all losses; metrics whose names begin with the same word."""
    _, kind, rest = name.split("/", 2) if name.count("/") >= 2 else ("", "metric", name)
    if kind == "loss":
        return "Losses, per epoch"
    return rest.replace("explained_variance", "explained variance").split("_")[0].capitalize()


def _order(title: str) -> tuple[int, str]:
    return {"Losses, per epoch": 0, "Losses, per step": 2}.get(title, 1), title


def _lines(title: str, axis: str, series: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> str:
    graph_objects = import_extra("plotly.graph_objects", "report", "a report")
    figure = graph_objects.Figure()
    for i, (name, (x, y)) in enumerate(series.items()):
        line = {"color": SERIES[i % len(SERIES)], "dash": _DASHES.get(name.split("/")[0], "solid")}
        figure.add_scatter(x=x, y=y, name=name, mode="lines+markers" if len(x) < 50 else "lines", line=line)
    figure.update_layout(title=title, xaxis_title=axis, yaxis_title="value")
    if axis == "epoch":
        figure.update_xaxes(tickformat="d")
    return _html(figure)


def explained_variance(record: Record) -> str | None:
    """Return the share of the variance that each component explains in the last epoch; None if unknown."""
    latest: dict[str, float] = {}
    for value in record.values:
        stem, found, component = value.scalar.name.partition("explained_variance_")
        if found and stem == "val/metric/":
            latest[component] = value.scalar.value
    shares = {name: share for name, share in latest.items() if name.startswith("pc")}
    if not shares:
        return None
    graph_objects = import_extra("plotly.graph_objects", "report", "a report")
    figure = graph_objects.Figure()
    labels = [f"component {name.removeprefix('pc')}" for name in shares]
    figure.add_bar(
        x=labels, y=list(shares.values()), marker_color=SERIES[0], texttemplate="%{y:.1%}", name="share"
    )
    total = f", in total {latest['total']:.1%}" if "total" in latest else ""
    figure.update_layout(title=f"Explained variance{total}", yaxis_title="share of total variance")
    figure.update_yaxes(tickformat=".0%")
    return _html(figure)


def _html(figure: Any) -> str:
    figure.update_layout(
        template="plotly_white", height=380, margin={"l": 70, "r": 20, "t": 50, "b": 50}, font_size=14
    )
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False}))
