"""The report of a run: one self-contained page that opens from disk, without a network."""

from cuvis_ai.training.monitors.report.monitor import ReportMonitor, write_report

__all__ = ["ReportMonitor", "write_report"]
