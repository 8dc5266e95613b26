"""The report: what was recorded is in the page, and the page needs nothing else."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest

from cuvis_ai.training.monitors import DummyMonitor, Recorder, Run, Scalar
from cuvis_ai.training.monitors.report import ReportMonitor, write_report
from cuvis_ai.training.monitors.report.charts import charts
from cuvis_ai.training.monitors.report.diagram import structure_svg
from cuvis_ai.training.monitors.report.page import best_epoch, page
from cuvis_ai.training.monitors.report.record import read_record, row_of
from tests.recorded_run import SETTINGS, fitted_graph, record


class Tables(HTMLParser):
    """Collects the rows of tables, the images, and whatever would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.images, self.fetched, self.titles = [], [], [], []
        self._cell = False
        self._title = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self._cell, self._title = tag in ("td", "th"), tag in ("h1", "h2")
        if tag == "img":
            self.images.append(attributes)
        self.fetched += [
            attributes[key]
            for key in ("src", "href")
            if not (attributes.get(key) or "data:").startswith("data:")
        ]

    def handle_endtag(self, tag):
        self._cell = self._title = False

    def handle_data(self, text):
        if self._cell:
            self.rows[-1][-1] += text
        if self._title:
            self.titles.append(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    recorder = record(fitted_graph(), [ReportMonitor(folder), DummyMonitor(folder)])
    assert len(recorder.monitors) == 2
    return folder


@pytest.fixture(scope="module")
def tables(folder):
    return Tables((folder / "report.html").read_text())


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_record_holds_every_value(folder):
    read = read_record(folder / "report.jsonl")
    expected = [Scalar(**row) for row in metrics(folder)]
    assert [value.scalar for value in read.values] == expected
    assert read.run.settings == SETTINGS
    assert not read.ending.failed


def test_result_comes_first_with_the_best_epoch(folder, tables):
    assert tables.titles[:2] == ["small <graph>", "Losses and metrics"]
    header, *rows = tables.rows
    assert header == ["value", "best epoch (1)", "last epoch (2)"]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["val/loss/total"] == ["0.25", "0.75"]
    last = {row["name"]: row["value"] for row in metrics(folder) if row["step"] == row["epoch"]}
    for name, value in last.items():
        assert by_name[name][-1] == f"{value:.6g}"
    assert best_epoch(read_record(folder / "report.jsonl")) == ("val/loss/total", 1)


def test_page_has_all_sections(tables):
    assert tables.titles[1:] == [
        "Losses and metrics", "Explained variance", "Pictures", "Graph", "Data set", "Configuration",
        "Timings", "Versions and machine",
    ]  # fmt: skip
    rows = {row[0]: row[1:] for row in tables.rows if row}
    assert rows["optimizer.lr"] == ["0.001"]
    assert rows["cubes"] == ["4"]
    assert "torch" in rows
    assert float(rows["whole run"][0]) > 0


def test_page_has_every_picture_once(folder, tables):
    pictures = read_record(folder / "report.jsonl").pictures
    encoded = [f"data:image/png;base64,{base64.b64encode(one.png).decode()}" for one in pictures]
    assert sorted(image["src"] for image in tables.images) == sorted(encoded)
    shown = [image for image in tables.images if "hidden" not in image]
    assert {image["data-epoch"] for image in shown} == {"2"}
    assert len(shown) == len({one.name for one in pictures})


def traces(text):
    """Return what Plotly is told to draw."""
    return [
        trace
        for found in re.findall(r'Plotly\.newPlot\(\s*"[^"]+",\s*(\[.*?\]),\s*\{"', text, re.DOTALL)
        for trace in json.loads(found)
    ]


def test_charts_hold_the_values(folder):
    text = (folder / "report.html").read_text()
    found = traces(text)
    drawn = {trace["name"]: (trace["x"], trace["y"]) for trace in found if "name" in trace}
    for name in {row["name"] for row in metrics(folder)}:
        of_name = [row for row in metrics(folder) if row["name"] == name]
        assert drawn[name] == ([r["step"] for r in of_name], [r["value"] for r in of_name])


def test_one_epoch_needs_no_curves_and_no_slider(tmp_path):
    record(fitted_graph(), [ReportMonitor(tmp_path)], epochs=1)
    text = (tmp_path / "report.html").read_text()
    tables = Tables(text)
    assert "Losses and metrics" not in tables.titles
    assert 'type="range"' not in text
    assert ["val/loss/total", "0.5", "0.5"] in tables.rows
    assert all("hidden" not in image for image in tables.images)
    assert len(tables.images) == len(read_record(tmp_path / "report.jsonl").pictures)


def test_page_fetches_nothing(tables):
    assert tables.fetched == []


def test_names_are_text_not_markup(folder):
    text = (folder / "report.html").read_text()
    assert "small &lt;graph&gt;" in text
    assert "small <graph>" not in text


def test_structure_draws_each_node_and_leaf(folder):
    outline = read_record(folder / "report.jsonl").outline
    svg = structure_svg(outline)
    for node in outline.nodes:
        assert f">{node.name}</text>" in svg
    assert svg.count('class="edge"') == 3


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


def test_values_without_a_number_are_kept(tmp_path):
    recorder = Recorder([ReportMonitor(tmp_path)])
    recorder.setup(Run(name="run", settings={}, structure=""))
    recorder.scalars({"val/loss/total": float("nan")}, "val", epoch=0, global_step=0, per_step=False)
    recorder.close()
    assert '<td class="number">nan</td>' in (tmp_path / "report.html").read_text()


def test_thresholds_have_a_chart_of_their_own_and_numbers_are_in_order(tmp_path):
    """A threshold of 50 would press shares from 0 to 1 against the axis."""
    names = [
        "anomaly_auroc",
        "anomaly_threshold",
        "anomaly_f1_max_threshold",
        "threshold",
        "share_pc10",
        "share_pc2",
    ]
    values = [
        Scalar(name=f"val/metric/{name}", value=0.5, step=epoch, epoch=epoch, global_step=epoch, stage="val")
        for name in names
        for epoch in range(2)
    ]
    path = tmp_path / "report.jsonl"
    rows = [row_of(Run(name="run", settings={}, structure=""), machine={}), *map(row_of, values)]
    path.write_text("".join(rows))
    record = read_record(path)
    of_charts = [{trace["name"].rpartition("/")[2] for trace in traces(chart)} for chart in charts(record)]
    assert {"anomaly_auroc"} in of_charts
    assert {"anomaly_threshold", "anomaly_f1_max_threshold", "threshold"} in of_charts
    listed = [row[0] for row in Tables(page(record)).rows if row and "share" in row[0]]
    assert listed == ["val/metric/share_pc2", "val/metric/share_pc10"]


def test_nothing_recorded_is_an_error(tmp_path):
    (tmp_path / "report.jsonl").write_text("")
    with pytest.raises(ValueError, match="expected the record of a run, got none"):
        read_record(tmp_path / "report.jsonl")


def test_a_run_without_values_has_a_page(tmp_path):
    path = tmp_path / "report.jsonl"
    path.write_text(row_of(Run(name="empty", settings={}, structure=""), machine={}))
    assert "<h1>empty</h1>" in page(read_record(path))
