"""One row a monitor: how it is made in a folder, what it holds there, and how its values are read back."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cuvis_ai.training.monitors import (
    DummyMonitor,
    LoggerMonitor,
    Monitor,
    ReportMonitor,
    TensorBoardMonitor,
    WandBMonitor,
)
from cuvis_ai.training.monitors.report.record import read_record
from tests.wandb_files import history, offline_records

Values = dict[tuple[str, int], float]
"""Each value by its name and step."""


@dataclass(frozen=True, kw_only=True)
class MonitorCase:
    """A monitor.

    Attributes:
        monitor: the class.
        make: makes one that writes into a folder.
        read: reads back from there what it was given; None if that cannot be.
        argument: the argument that names a folder which one run at a time may write to, if there is one.
        package: the optional package that it needs, if any.
    """

    monitor: type[Monitor]
    make: Callable[[Path], Monitor]
    read: Callable[[Path], Values] | None
    argument: str | None = None
    package: str | None = None

    def __str__(self) -> str:
        return self.monitor.__name__


def _of_files(folder: Path) -> Values:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {(row["name"], row["step"]): row["value"] for row in rows}


def _of_events(folder: Path) -> Values:
    [run] = {path.parent for path in folder.glob("*/events.*")}
    events = EventAccumulator(str(run))
    events.Reload()
    names = events.Tags()["scalars"]
    return {(name, event.step): event.value for name in names for event in events.Scalars(name)}


def _of_wandb(folder: Path) -> Values:
    values = history(offline_records(folder))  # with pictures, histograms and wandb's own
    return {key: one for key, one in values.items() if "/" in key[0] and isinstance(one, int | float)}


def _of_record(folder: Path) -> Values:
    scalars = (value.scalar for value in read_record(folder / "report.jsonl").values)
    return {(one.name, one.step): one.value for one in scalars}


def _of_csv(folder: Path) -> Values:
    texts = [path.read_text() for path in folder.glob("csv/run/version_*/metrics.csv")]
    rows = [row for text in texts for row in csv.DictReader(text.splitlines())]
    return {
        (name, int(row["step"])): float(value)
        for row in rows
        for name, value in row.items()
        if name != "step" and value
    }


MONITORS = [
    MonitorCase(monitor=DummyMonitor, make=DummyMonitor, read=_of_files, argument="output_dir"),
    MonitorCase(
        monitor=LoggerMonitor,
        make=lambda folder: LoggerMonitor("CSVLogger", {"save_dir": str(folder / "csv"), "name": "run"}),
        read=_of_csv,
    ),
    MonitorCase(monitor=ReportMonitor, make=ReportMonitor, read=_of_record, argument="output_dir"),
    MonitorCase(
        monitor=TensorBoardMonitor,
        make=TensorBoardMonitor,
        read=_of_events,
        argument="log_dir",
        package="tensorboard",
    ),
    MonitorCase(
        monitor=WandBMonitor,
        make=lambda folder: WandBMonitor("project", mode="offline"),  # in the folder that WANDB_DIR names
        read=_of_wandb,
        package="wandb",
    ),
]
