"""The record of a run, of which its report is made: one JSON object a line, written as it happens."""

import base64
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cuvis_ai.errors import escaped
from cuvis_ai.paths import StrPath
from cuvis_ai.plain_types import argument_misfits
from cuvis_ai.training.monitors.records import Drawn, Ending, Fact, Outline, OutlineNode, Run, Scalar, Text

Entry = Run | Scalar | Drawn | Text | Outline | Ending
"""What a line may hold."""
_Entry = TypeVar("_Entry", Run, Scalar, Drawn, Text, OutlineNode, Ending)


@dataclass(frozen=True)
class Value:
    """A scalar and when it was recorded, in seconds since 1970."""

    scalar: Scalar
    time: float

    @property
    def per_step(self) -> bool:
        """Whether it is the value of a step, not of an epoch."""
        return self.scalar.name.endswith("_step")


@dataclass
class Record:
    """A run as far as it was recorded; a resumed run counts as one with what it goes on from.

    Attributes:
        run: how it started.
        started: when, in seconds since 1970.
        values: in the order of recording.
        pictures: likewise, without the data behind them.
        texts: by name.
        facts: what the texts say of the data, as plain values by name.
        outline: the graph.
        ending: None if the run was cut off.
        machine: versions and hardware.
    """

    run: Run
    started: float
    values: list[Value] = field(default_factory=list)
    pictures: list[Drawn] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    outline: Outline | None = None
    ending: Ending | None = None
    machine: Mapping[str, str] = field(default_factory=dict)


def row_of(entry: Entry, **more: object) -> dict[str, Any]:
    """Return a line's content for an entry, with the time and further facts."""
    if isinstance(entry, Drawn):
        plain = {name: value for name, value in vars(entry).items() if name != "data"}
        content = {**plain, "png": base64.b64encode(entry.png).decode()}
    else:
        content = asdict(entry)
    row = {"kind": type(entry).__name__, "time": time.time(), **more, "content": content}
    return {key: _finite(value) for key, value in row.items()}


def _finite(value: Any) -> Any:
    """Return nested plain values with NaN and infinity as text, which JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def read_record(path: StrPath) -> Record:
    """Return what a file holds; a last line that was cut off is left out.

    Raises:
        ValueError: the file holds no run, or a line that no run writes. One from elsewhere may hold anything,
            and a browser shows what is in it.
    """
    record: Record | None = None
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        try:
            record = _with_row(record, row)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as err:
            raise ValueError(
                f"{path}: expected in line {number} what a `ReportMonitor` writes, "
                f"got {escaped(str(err))[:200]}."
            ) from err
    if record is None:
        raise ValueError(f"{path}: expected the record of a run, got none. Train with a `ReportMonitor`.")
    return record


def _with_row(record: Record | None, row: Mapping[str, Any]) -> Record | None:
    """Return the record with one more row."""
    if row["kind"] == "Run":
        return _started(record, row)
    if record is not None:
        _take(record, row["kind"], float(row["time"]), row["content"])
    return record


def _typed(kind: type[_Entry], content: Mapping[str, Any]) -> _Entry:
    """Return an entry whose fields have the types that it declares."""
    if misfits := argument_misfits(content, kind, kind.__name__, finite=False):
        raise TypeError(" ".join(misfits))
    return kind(**content)


def _started(before: Record | None, row: Mapping[str, Any]) -> Record:
    """Return the record of a run that starts, with what a resumed one will not record again."""
    run = _typed(Run, row["content"])
    machine = {str(key): str(value) for key, value in row["machine"].items()}
    record = Record(run, float(row["time"]), machine=machine)
    if before is not None and run.resumed_epoch is not None:
        record.started = before.started
        record.values = [value for value in before.values if run.follows(vars(value.scalar))]
        record.pictures = [picture for picture in before.pictures if run.follows(vars(picture))]
    return record


def _take(record: Record, kind: str, at: float, content: Mapping[str, Any]) -> None:
    if kind == "Scalar":
        record.values.append(Value(_typed(Scalar, {**content, "value": float(content["value"])}), at))
    elif kind == "Drawn":
        png = base64.b64decode(content["png"])
        record.pictures.append(_typed(Drawn, {**content, "png": png, "data": {}}))
    elif kind == "Text":
        text = _typed(Text, {**content, "facts": {}})
        record.texts[text.name] = text.text
        given = content.get("facts", {})  # of any type, from elsewhere
        record.facts |= {str(key): one for key, one in given.items() if isinstance(one, Fact)}
    elif kind == "Outline":
        nodes = (
            _typed(OutlineNode, {**node, "parents": tuple(node["parents"])}) for node in content["nodes"]
        )
        record.outline = Outline(nodes=tuple(nodes))
    elif kind == "Ending":
        values = {name: float(value) for name, value in content["values"].items()}
        record.ending = _typed(Ending, {**content, "values": values})
