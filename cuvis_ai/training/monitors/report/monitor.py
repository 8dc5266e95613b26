"""The monitor that writes a report: one self-contained page that opens from disk, without a network."""

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from cuvis_ai import __version__
from cuvis_ai.paths import StrPath
from cuvis_ai.training.monitors.files import append, claim, cut, made_again, move_aside, try_folder
from cuvis_ai.training.monitors.protocol import Monitor
from cuvis_ai.training.monitors.records import Drawn, Ending, Outline, Run, Scalar, Text
from cuvis_ai.training.monitors.report.record import Entry, read_record, row_of
from cuvis_ai.training.monitors.report.rendering import BESIDE, Pictures
from cuvis_ai.whole_file import write_whole

REPORT = "report.html"
RECORD = "report.jsonl"
_INSIDE = 1_500_000
"""Bytes of the page that pictures take at most, so that it stays below 2 MB."""
_PACKAGES = ("torch", "lightning", "numpy", "scipy", "matplotlib")


def write_report(record: StrPath, report: StrPath | None = None) -> Path:
    """Write the report of a run, and return its path.

    Args:
        record: the `report.jsonl` that a `ReportMonitor` wrote, of a run that is over, failed or still
            going on.
        report: the page; `report.html` beside the record by default.

    Example:
        >>> from cuvis_ai.training.monitors.records import Run, Scalar
        >>> monitor = ReportMonitor("outputs")
        >>> monitor.setup(Run(name="rx", settings={}, structure=""))
        >>> write_report("outputs/report.jsonl", "so_far.html").name  # of a run that is still going on
        'so_far.html'
    """
    # The colours of its charts are those of the pictures, whose Matplotlib takes a second to import.
    from cuvis_ai.training.monitors.report.page import page

    path = Path(record).with_name(REPORT) if report is None else Path(report)
    pictures = Pictures(_INSIDE)
    text = page(read_record(record), pictures)
    for name, content in pictures.beside.items():
        write_whole(path.parent / name, content)
    write_whole(path, text.encode())
    return path


class ReportMonitor(Monitor):
    """Writes `report.html` when a run ends: result, curves, pictures, graph, settings, timings, versions.

    The page stays below 2 MB: older pictures that are too much for it lie in `report_pictures/` beside it.

    What the page is made of is kept in `report.jsonl` as the run goes on, so that `write_report` can
    make it of a run that was cut off too. Files of an earlier run are moved aside with their time
    stamp; a resumed run goes on with its record.

    Args:
        output_dir: the folder; made if missing.

    Example:
        >>> from cuvis_ai import pipelines
        >>> from cuvis_ai.data.indian_pines import IndianPines
        >>> from cuvis_ai.training.config import TrainerConfig, TrainingConfig
        >>> graph = pipelines.supervised()
        >>> graph.register_monitor(ReportMonitor("outputs"))
        >>> trainer = graph.train(IndianPines(), TrainingConfig(trainer=TrainerConfig(max_epochs=0)))
        >>> Path("outputs/report.html").is_file()
        True
    """

    _start: Mapping[str, Any] | None = None
    """The record's first row; None before `setup` has begun the record."""

    def __init__(self, output_dir: StrPath) -> None:
        self.output_dir = os.fspath(output_dir)
        self._held = ExitStack()

    @property
    def path(self) -> Path:
        """The page."""
        return Path(self.output_dir) / REPORT

    def where(self) -> str:
        """Say where the page is."""
        return f"The report is {self.path}; open it in a browser"

    def try_folder(self) -> None:
        """See whether the folder can be written to."""
        try_folder(self.path.parent, "ReportMonitor", "output_dir")

    def files(self) -> list[Path]:
        """What is written."""
        return [self.path.parent / name for name in (RECORD, REPORT, BESIDE)]

    def setup(self, run: Run) -> None:
        """Start the record.

        Raises:
            ConfigError: the folder cannot be written to, or another run writes to it.
        """
        folder = self.path.parent
        self._held.callback(claim(folder, "ReportMonitor", "output_dir").release, force=True)
        if run.resumed_epoch is None:
            move_aside(folder, (RECORD, REPORT, BESIDE))
        else:  # what comes after the checkpoint is left out when the record is read
            cut(folder / RECORD, lambda row: True)
        self._start = row_of(run, machine=_machine())
        append(self._record, [self._start])

    @property
    def _record(self) -> Path:
        return self.path.with_name(RECORD)

    def _append(self, *entries: Entry) -> None:
        if self._start is not None and made_again(self._record, "ReportMonitor"):
            append(self._record, [self._start])
        append(self._record, map(row_of, entries))

    def log_scalars(self, scalars: Sequence[Scalar]) -> None:
        """Record values."""
        self._append(*scalars)

    def log_figures(self, figures: Sequence[Drawn]) -> None:
        """Record pictures."""
        self._append(*figures)

    def log_text(self, text: Text) -> None:
        """Record a text."""
        self._append(text)

    def log_graph(self, outline: Outline) -> None:
        """Record the structure."""
        self._append(outline)

    def close(self, ending: Ending) -> None:
        """Write the page."""
        with self._held:
            if self._start is None:
                return
            self._append(ending)
            write_report(self.path.with_name(RECORD))


def _machine() -> dict[str, str]:
    """Return versions of packages, where installed, and what the run computes on."""
    found = {"Python": platform.python_version(), "cuvis_ai": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["system"] = platform.platform()
    found["processors"] = str(os.cpu_count())
    found["accelerator"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return found
