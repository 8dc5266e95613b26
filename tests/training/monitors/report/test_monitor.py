"""The monitor: a report of any run, whole, failed, cut off or resumed."""

from cuvis_ai.training.monitors import ReportMonitor
from cuvis_ai.training.monitors.report import write_report
from cuvis_ai.training.monitors.report.record import read_record
from tests.recorded_run import fitted_graph, record


def test_a_run_that_was_cut_off_still_has_a_report(folder, tmp_path):
    lines = (folder / "report.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "report.jsonl").write_text("".join(lines[:-2]) + lines[-2][:20])
    text = write_report(tmp_path / "report.jsonl").read_text()
    assert "the run was cut off" in text
    assert "val/loss/total" in text


def test_a_failed_run_says_so(tmp_path):
    record(fitted_graph(leaves=False), [ReportMonitor(tmp_path)], failed=True)
    assert "an error ended the run" in (tmp_path / "report.html").read_text()


def test_a_resumed_run_makes_one_report(tmp_path):
    graph = fitted_graph(leaves=False)
    record(graph, [ReportMonitor(tmp_path)], epochs=3)
    record(graph, [ReportMonitor(tmp_path)], epochs=2, first=2)
    read = read_record(tmp_path / "report.jsonl")
    epochs = [value.scalar.epoch for value in read.values if value.scalar.name == "val/loss/total"]
    assert epochs == [0, 1, 2, 3]
    assert len(list(tmp_path.glob("report*.html"))) == 1


def test_reports_of_earlier_runs_are_moved_aside(tmp_path):
    graph = fitted_graph(leaves=False)
    for _ in range(2):
        record(graph, [ReportMonitor(tmp_path)], epochs=1)
    assert len(list(tmp_path.glob("report*.html"))) == len(list(tmp_path.glob("report*.jsonl"))) == 2
