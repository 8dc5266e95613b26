"""The page of a report: its sections, in the order in which a reader wants them."""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from itertools import pairwise
from string import Template
from typing import Any

from cuvis_ai.training.monitors.records import Drawn, flattened
from cuvis_ai.training.monitors.report import charts
from cuvis_ai.training.monitors.report.diagram import structure_svg
from cuvis_ai.training.monitors.report.record import Record


def page(record: Record) -> str:
    """Return the whole page, which needs nothing outside itself."""
    template = files("cuvis_ai.training.monitors.report").joinpath("page.html").read_text(encoding="utf-8")
    sections = [
        _result(record),
        _section("Losses and metrics", *charts.charts(record)),
        _section("Explained variance", charts.explained_variance(record)),
        _section("Pictures", *_pictures(record.pictures)),
        _section("Graph", structure_svg(record.outline) if record.outline else None),
        _section("Data set", *(_markdown(text) for text in record.texts.values())),
        _section("Configuration", _table(("setting", "value"), flattened(record.run.settings).items())),
        _section("Timings", _table(("what", "seconds"), _timings(record).items())),
        _section("Versions and machine", _table(("what", "value"), record.machine.items())),
    ]
    return Template(template).substitute(
        title=escape(f"{record.run.name}: report"), plotly=charts.script(), body="\n".join(sections)
    )


def best_epoch(record: Record) -> tuple[str, int] | None:
    """Return the loss that is watched, and the first epoch in which it was least; None without a loss."""
    for name in ("val/loss/total", "train/loss/total"):
        found = [(v.scalar.value, v.scalar.epoch) for v in record.values if v.scalar.name == name]
        if found:
            return name, min(found)[1]
    return None


def _result(record: Record) -> str:
    by_name: dict[str, dict[int, float]] = {}
    for value in record.values:
        if not value.per_step:
            by_name.setdefault(value.scalar.name, {})[value.scalar.epoch] = value.scalar.value
    best, last = best_epoch(record), max((v.scalar.epoch for v in record.values), default=0)
    header = ["value", f"last epoch ({last})"]
    if best is not None:
        header.insert(1, f"best epoch ({best[1]})")
    rows = []
    for name in sorted(by_name, key=_importance):
        of_name = by_name[name]
        at_best = [] if best is None else [_number(of_name.get(best[1]))]
        rows.append((name, *at_best, _number(of_name[max(of_name)])))
    by = (
        ""
        if best is None
        else f"<p>The best epoch is the one with the least {escape(best[0])}; epochs count from 0.</p>"
    )
    return (
        f"<h1>{escape(record.run.name)}</h1>\n{_summary(record)}\n{_table(header, rows, numbers=True)}\n{by}"
    )


def _summary(record: Record) -> str:
    when = datetime.fromtimestamp(record.started).astimezone().strftime("%Y-%m-%d %H:%M")
    if record.ending is None:
        return f'<p class="summary failed">Started {when}; the run was cut off.</p>'
    length = f"{record.ending.seconds:.1f} s"
    if record.ending.failed:
        return f'<p class="summary failed">Started {when}; an error ended the run after {length}.</p>'
    return f'<p class="summary">Trained {when} in {length}.</p>'


def _importance(name: str) -> tuple[int, int, list[str | int]]:
    stage, _, rest = name.partition("/")
    order = {"test": 0, "val": 1, "train": 2}
    # Of training the losses matter most, elsewhere the metrics.
    first = "loss" if stage == "train" else "metric"
    # Numbers by their size: pc2 comes before pc10.
    parts = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
    return order.get(stage, 3), 0 if rest.startswith(first) else 1, parts


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def _pictures(drawn: Sequence[Drawn]) -> list[str]:
    """Return a slider over the epochs, if there are several, and for each series all of its images."""
    epochs = sorted({picture.epoch for picture in drawn})
    series: dict[str, list[Drawn]] = {}
    for picture in drawn:
        series.setdefault(picture.name, []).append(picture)
    figures = [_picture(name, of_name) for name, of_name in series.items()]
    if len(epochs) < 2:
        return figures
    slider = (
        '<div class="slider"><label for="epoch">Epoch '
        f'<output id="epoch-shown">{epochs[-1]}</output></label> '
        f'<input type="range" id="epoch" min="0" max="{len(epochs) - 1}" value="{len(epochs) - 1}" step="1" '
        f'data-epochs="{escape(json.dumps(epochs))}"></div>'
    )
    return [slider, *figures]


def _picture(name: str, drawn: Sequence[Drawn]) -> str:
    by_epoch = {picture.epoch: picture for picture in drawn}
    last = max(by_epoch)
    images = "".join(_image(name, by_epoch[epoch], shown=epoch == last) for epoch in sorted(by_epoch))
    caption = f'<figcaption>{escape(name)}, <span class="of">epoch {last}</span></figcaption>'
    return f'<figure class="picture">{images}{caption}</figure>'


def _image(name: str, drawn: Drawn, *, shown: bool) -> str:
    encoded = base64.b64encode(drawn.png).decode()
    return (
        f'<img data-epoch="{drawn.epoch}" alt="{escape(name)}, epoch {drawn.epoch}"'
        f'{"" if shown else " hidden"} src="data:image/png;base64,{encoded}">'
    )


def _timings(record: Record) -> dict[str, str]:
    ends: dict[int, float] = {}
    for value in record.values:
        if not value.per_step:
            ends[value.scalar.epoch] = max(value.time, ends.get(value.scalar.epoch, 0.0))
    if not ends:
        return {}
    times = [ends[epoch] for epoch in sorted(ends)]
    found = {}
    # A clock that was set back would give less than nothing.
    if times[0] >= record.started:
        found["until the end of the first epoch, with statistics"] = f"{times[0] - record.started:.2f}"
    if lengths := sorted(b - a for a, b in pairwise(times) if b >= a):
        found["an epoch after it, median"] = f"{lengths[len(lengths) // 2]:.3f}"
    if record.ending is not None:
        found["whole run"] = f"{record.ending.seconds:.2f}"
    return found


def _section(title: str, *content: str | None) -> str:
    present = [part for part in content if part]
    return "\n".join([f"<h2>{title}</h2>", *present]) if present else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: bool = False) -> str:
    kind = ' class="number"' if numbers else ""
    listed = [
        f"<tr><td>{escape(str(name))}</td>{''.join(f'<td{kind}>{escape(str(v))}</td>' for v in values)}</tr>"
        for name, *values in rows
    ]
    if not listed:
        return ""
    titles = "".join(f"<th{kind if i else ''}>{escape(title)}</th>" for i, title in enumerate(header))
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(listed)}</tbody></table>"


def _markdown(text: str) -> str:
    """Return a Markdown table as one of HTML; any other text as it is."""
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) < 3 or not all(line.startswith("|") and line.endswith("|") for line in lines):
        return f"<pre>{escape(text)}</pre>"
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return _table(cells[0], cells[2:])


def machine_facts(packages: Iterable[str]) -> Mapping[str, str]:
    """Return versions of packages, where installed, and what the run computes on."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import torch

    found = {"Python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["system"] = platform.platform()
    found["processors"] = str(os.cpu_count())
    found["accelerator"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return found
