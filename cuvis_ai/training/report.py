"""The report's earlier place: `from cuvis_ai.training.report import write_report` still works."""

from cuvis_ai.training.monitors.report.monitor import ReportMonitor, write_report

__all__ = ["ReportMonitor", "write_report"]
