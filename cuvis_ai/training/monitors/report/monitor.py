"""A report of a run: one self-contained page that opens from disk, without a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from cuvis_ai.errors import import_extra
from cuvis_ai.training.monitors.files import claim, cut, move_aside
from cuvis_ai.training.monitors.records import Drawn, Ending, Histogram, Outline, Run, Scalar, Text

REPORT = "report.html"
RECORD = "report.jsonl"
_PACKAGES = ("cuvis_ai", "torch", "lightning", "numpy", "scipy", "matplotlib", "plotly")


def write_report(record: str | Path, report: str | Path | None = None) -> Path:
    """Write the report of a run, and return its path.

    Args:
        record: the `report.jsonl` that a `ReportMonitor` wrote, of a run that is over, failed or still
            going on.
        report: the page; `report.html` beside the record by default.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    from cuvis_ai.training.monitors.report.page import page
    from cuvis_ai.training.monitors.report.record import read_record

    path = Path(record).with_name(REPORT) if report is None else Path(report)
    path.write_text(page(read_record(record)), encoding="utf-8")
    return path


class ReportMonitor:
    """Writes `report.html` when a run ends: result, curves, pictures, graph, settings, timings, versions.

    What the page is made of is kept in `report.jsonl` as the run goes on, so that `write_report` can
    make it of a run that was cut off too. Files of an earlier run are moved aside with their time
    stamp; a resumed run goes on with its record.

    Args:
        output_dir: the folder; made if missing.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.output_dir = str(output_dir)
        self._lock: TextIO | None = None

    @property
    def path(self) -> Path:
        """The page."""
        return Path(self.output_dir) / REPORT

    def setup(self, run: Run) -> None:
        """Start the record.

        Raises:
            MissingExtraError: plotly is not installed.
            ConfigError: the folder cannot be written to, or another run writes to it.
        """
        import_extra("plotly", "report", "ReportMonitor")
        from cuvis_ai.training.monitors.report.page import machine_facts

        self._lock = claim(self.path.parent, "ReportMonitor: output_dir")
        if run.resumed_epoch is None:
            move_aside(self.path.parent, (RECORD, REPORT))
        else:  # what comes after the checkpoint is left out when the record is read
            cut(self.path.with_name(RECORD), lambda row: True)
        self._append(run, machine=machine_facts(_PACKAGES))

    def _append(self, *entries: Run | Scalar | Drawn | Text | Outline | Ending, **more: object) -> None:
        from cuvis_ai.training.monitors.report.record import row_of

        with self.path.with_name(RECORD).open("a", encoding="utf-8") as file:
            file.writelines(row_of(entry, **more) for entry in entries)

    def log_scalars(self, scalars: Sequence[Scalar]) -> None:
        """Keep values."""
        self._append(*scalars)

    def log_figures(self, figures: Sequence[Drawn]) -> None:
        """Keep pictures."""
        self._append(*figures)

    def log_histograms(self, histograms: Sequence[Histogram]) -> None:
        """Do nothing: the report shows no histograms of weights."""

    def log_text(self, text: Text) -> None:
        """Keep a text."""
        self._append(text)

    def log_graph(self, outline: Outline) -> None:
        """Keep the structure."""
        self._append(outline)

    def close(self, ending: Ending) -> None:
        """Write the page."""
        self._append(ending)
        write_report(self.path.with_name(RECORD))
        if self._lock is not None:
            self._lock.close()
            self._lock = None
