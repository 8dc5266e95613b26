"""The page of a report: its sections, in the order in which a reader wants them."""

import re
import sys
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from cuvis_ai.training.monitors.records import Drawn, flattened, numbered, readable
from cuvis_ai.training.monitors.report import charts
from cuvis_ai.training.monitors.report.diagram import layout
from cuvis_ai.training.monitors.report.record import Record
from cuvis_ai.training.monitors.report.rendering import BESIDE, Pictures, rendered

LEAD = ("heatmap", "roc", "precision_recall", "overview")
"""Names of the pictures that the first screen shows, in this order."""

NUMBERS = {
    "val/metric/anomaly_auroc": "AUROC",
    "val/metric/anomaly_average_precision": "average precision",
    "val/metric/anomaly_aupro": "AUPRO",
    "val/metric/anomaly_f1": "F1",
    "val/loss/total": "loss",
}
"""What a reader wants to know first, where it is known, and how the first screen calls it."""


def page(record: Record, pictures: Pictures | None = None) -> str:
    """Return the whole page, which needs no network; what was recorded is shown as text.

    Args:
        record: the run.
        pictures: takes what would make the page too large, to be written beside it; None: all is inside.
    """
    pictures = pictures or Pictures(sys.maxsize)
    best = best_epoch(record)
    n_epochs = record.run.settings.get("trainer", {}).get("max_epochs")
    last = max((value.scalar.epoch for value in record.values), default=0)
    drawn = [_image(one, i, pictures) for i, one in enumerate(charts.charts(record))]
    variance = charts.explained_variance(record)
    shares = variance and _image(variance, len(drawn), pictures)
    lead, others = _series(record.pictures, pictures)
    return rendered(
        "page.html",
        title=f"{record.run.name}: report",
        name=record.run.name,
        started=datetime.fromtimestamp(record.started).astimezone().strftime("%Y-%m-%d %H:%M"),
        ending=record.ending,
        best=best,
        numbers=five_numbers(record, best),
        guessing=_guessing(record),
        lead=lead,
        header=_header(record, best, last, n_epochs),
        results=_results(record, best),
        charts=drawn,
        explained_variance=shares,
        epochs=sorted({picture.epoch for picture in record.pictures}),
        series=others,
        diagram=record.outline and layout(record.outline),
        texts=[(text, _cells(text)) for text in record.texts.values()],
        settings=flattened(record.run.settings),
        timings=_timings(record),
        machine=record.machine,
    )


def _image(chart: charts.Chart, number: int, pictures: Pictures) -> tuple[str, str]:
    """Return a chart's title and the source of its image."""
    return chart.title, pictures.source(chart.svg, f"{BESIDE}/chart_{number}.svg", "image/svg+xml")


def best_epoch(record: Record) -> tuple[str, int] | None:
    """Return the loss that is watched, and the first epoch in which it was least; None without a loss."""
    for name in ("val/loss/total", "train/loss/total"):
        found = [(v.scalar.value, v.scalar.epoch) for v in record.values if v.scalar.name == name]
        if found:
            return name, min(found)[1]
    return None


def _header(record: Record, best: tuple[str, int] | None, last: int, n_epochs: int | None) -> list[str]:
    """Return the headings of the columns of `_results`."""
    start = ["statistical start"] if _start_of(record) else []
    of_best = [] if best is None else [f"best epoch, {numbered(best[1], n_epochs)}"]
    at_end = "after the statistics" if n_epochs == 0 else f"last epoch, {numbered(last, n_epochs)}"
    return ["value", *start, *of_best, at_end]


def _start_of(record: Record) -> dict[str, float]:
    """Return the values before the first step, under the names that they have in a validation."""
    scalars = [value.scalar for value in record.values if value.scalar.stage == "start"]
    return {f"val/{one.name.partition('/')[2]}": one.value for one in scalars}


def _results(record: Record, best: tuple[str, int] | None) -> list[list[str]]:
    """Return the name of each value, and what it was at the start, in the best epoch and in the last.

    Columns for the start and the best epoch are there if they are known.
    """
    start = _start_of(record)
    by_name: dict[str, dict[int, float]] = {}
    for value in record.values:
        if not value.per_step and value.scalar.stage != "start":
            by_name.setdefault(value.scalar.name, {})[value.scalar.epoch] = value.scalar.value
    rows = []
    for name in sorted(by_name, key=_importance):
        of_name = by_name[name]
        shown = [*([start.get(name)] if start else []), *([] if best is None else [of_name.get(best[1])])]
        shown.append(of_name[max(of_name)])
        rows.append([name, *("–" if value is None else readable(name, value, digits=6) for value in shown)])
    return rows


def five_numbers(record: Record, best: tuple[str, int] | None) -> list[tuple[str, str]]:
    """Return names and values, at the start, in the best and in the last epoch, of what matters most."""
    columns = len(_header(record, best, 0, None)) - 1
    rows = {row[0]: row[1:] for row in _results(record, best)}
    names = [name for name in NUMBERS if name in rows]
    names += [name for name in rows if name not in names and not name.endswith("threshold")]
    return [
        (
            NUMBERS.get(name, name.rpartition("/")[2].replace("_", " ")),
            " → ".join(_short(cell) for cell in rows[name][:columns]),
        )
        for name in names[: len(NUMBERS)]
    ]


def _short(cell: str) -> str:
    """A cell with 4 digits at most."""
    try:
        return f"{float(cell):.4g}"
    except ValueError:  # a share in per cent, or none
        return cell


def _guessing(record: Record) -> str | None:
    """Return the base rate of anomalies among the validation pixels, in words; None where it is unknown."""
    share = record.facts.get("val share of anomalies")
    if not isinstance(share, float):
        return None
    counts = (record.facts.get(f"val {what}") for what in ("anomalies", "pixels"))
    among = " of ".join(str(count) for count in counts)
    return (
        f"Base rate: {share:.2%} of the validation pixels are anomalies ({among}), which is the average "
        "precision of guessing."
    )


def _importance(name: str) -> tuple[int, int, list[str | int]]:
    stage, _, rest = name.partition("/")
    order = {"test": 0, "val": 1, "train": 2}
    # Of training the losses matter most, elsewhere the metrics.
    first = "loss" if stage == "train" else "metric"
    # Numbers by their size: pc2 comes before pc10.
    parts = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
    return order.get(stage, 3), 0 if rest.startswith(first) else 1, parts


_Series = dict[str, dict[int, str]]
"""The sources of the images of each picture, by epoch."""


def _series(drawn: Sequence[Drawn], pictures: Pictures) -> tuple[_Series, _Series]:
    """Return the pictures of the first screen, and the others.

    What is shown first is in the page rather than beside it: the last epoch, its first screen before all.
    """
    leading = {one.name for picture in LEAD for one in drawn if one.picture == picture}
    last = {one.name: one.epoch for one in sorted(drawn, key=lambda one: one.epoch)}
    order = sorted(
        drawn, key=lambda one: (one.epoch != last[one.name], one.name not in leading, -one.epoch, one.name)
    )
    sources = {
        (one.name, one.epoch): pictures.source(one.png, f"{BESIDE}/{i}.png") for i, one in enumerate(order)
    }
    lead: _Series = {}
    others: _Series = {}
    rank = {picture: i for i, picture in enumerate(LEAD)}
    for one in sorted(drawn, key=lambda one: (rank.get(one.picture, len(rank)), one.epoch)):
        part = lead if one.name in leading else others
        part.setdefault(one.name, {})[one.epoch] = sources[one.name, one.epoch]
    return lead, others


def _timings(record: Record) -> dict[str, str]:
    by_time = sorted(record.values, key=lambda value: value.time)
    ends = {value.scalar.epoch: value.time for value in by_time if not value.per_step}
    if not ends:
        return {}
    times = [ends[epoch] for epoch in sorted(ends)]
    found = {}
    # A clock that was set back would give less than nothing.
    if times[0] >= record.started:
        found["until the end of the first epoch, with statistics and the validation of the start"] = (
            f"{times[0] - record.started:.2f}"
        )
    if lengths := sorted(b - a for a, b in pairwise(times) if b >= a):
        found["an epoch after it with its validation and pictures, median"] = (
            f"{lengths[len(lengths) // 2]:.3f}"
        )
    if record.ending is not None:
        found["whole run, without saving the graph"] = f"{record.ending.seconds:.2f}"
    return found


def _cells(text: str) -> list[list[str]]:
    """Return the cells of a Markdown table, its header first; none of any other text."""
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) < 3 or not all(line.startswith("|") and line.endswith("|") for line in lines):
        return []
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return [rows[0], *rows[2:]]
