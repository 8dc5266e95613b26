"""The page: what was recorded is in it, as text and never as markup, and it needs nothing else."""

import base64
import re

import numpy as np
import pytest

from cuvis_ai.training.monitors import Drawn, Outline, OutlineNode, Recorder, ReportMonitor, Run, Scalar
from cuvis_ai.training.monitors.records import Ending, readable
from cuvis_ai.training.monitors.report.page import best_epoch, five_numbers, page
from cuvis_ai.training.monitors.report.record import Record, Value, read_record
from tests.recorded_run import fitted_graph, record
from tests.training.monitors.report_page import Tables

EMPTY = Run(name="empty", settings={}, structure="")


@pytest.fixture(scope="module")
def tables(folder):
    return Tables((folder / "report.html").read_text())


def test_result_comes_first_with_the_best_epoch(folder, metrics, tables):
    assert tables.titles[:3] == ["small <graph>", "Losses and metrics", "All values"]
    header, *rows = tables.rows
    assert header == ["value", "best epoch, 1 (2nd of 3)", "last epoch, 2 (3rd of 3)"]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["val/loss/total"] == ["0.25", "0.75"]
    assert by_name["val/metric/explained_variance_total"] == ["90.0%", "90.0%"]
    last = {row["name"]: row["value"] for row in metrics if row["step"] == row["epoch"]}
    for name, value in last.items():
        assert by_name[name][-1] == readable(name, value, digits=6)
    assert best_epoch(read_record(folder / "report.jsonl")) == ("val/loss/total", 1)


def test_the_statistical_start_has_a_column_and_the_state_that_is_left_a_sentence():
    at = {"epoch": 0, "step": 0, "global_step": 0}
    values = [Scalar(name="start/loss/total", value=1.5, stage="start", **at)]
    values += [Scalar(name="val/loss/total", value=0.5, stage="val", **at)]
    values += [Scalar(name="train/loss/total", value=0.25, stage="train", **at)]
    run = Run(name="started", settings={"trainer": {"max_epochs": 10}}, structure="")
    started = Record(run, 0.0, [Value(value, 1.0) for value in values])
    started.ending = Ending(values={}, failed=False, seconds=1.0, holds="the weights of the last epoch")
    html = page(started)
    header, *rows = Tables(html).rows
    assert header == ["value", "statistical start", "best epoch, 0 (1st of 10)", "last epoch, 0 (1st of 10)"]
    assert rows[:2] == [["val/loss/total", "1.5", "0.5", "0.5"], ["train/loss/total", "–", "0.25", "0.25"]]
    assert "The graph that the run left holds the weights of the last epoch." in html


def test_page_has_all_sections(tables):
    assert tables.titles[1:] == [
        "Losses and metrics", "All values", "Explained variance", "Pictures", "Graph", "Data set", "Configuration",
        "Timings", "Versions and machine",
    ]  # fmt: skip
    rows = {row[0]: row[1:] for row in tables.rows if row}
    assert rows["optimizer.lr"] == ["0.001"]
    assert rows["cubes"] == ["4"]
    assert "torch" in rows
    assert float(rows["whole run, without saving the graph"][0]) > 0


def test_page_has_every_picture_once(folder, tables):
    pictures = read_record(folder / "report.jsonl").pictures
    encoded = [f"data:image/png;base64,{base64.b64encode(one.png).decode()}" for one in pictures]
    images = [image for image in tables.images if "data-epoch" in image]
    beside = {name: (folder / name).read_bytes() for name in tables.fetched}  # too much for the page
    sources = [
        f"data:image/png;base64,{base64.b64encode(beside[image['src']]).decode()}"
        if image["src"] in beside
        else image["src"]
        for image in images
    ]
    assert sorted(sources) == sorted(encoded)
    shown = [image for image in images if "hidden" not in image]
    assert {image["data-epoch"] for image in shown} == {"2"}
    assert len(shown) == len({one.name for one in pictures})


def test_one_epoch_needs_no_curves_and_no_slider(tmp_path):
    record(fitted_graph(), [ReportMonitor(tmp_path)], epochs=1)
    text = (tmp_path / "report.html").read_text()
    tables = Tables(text)
    assert "Losses and metrics" not in tables.titles
    assert 'type="range"' not in text
    assert ["val/loss/total", "0.5", "0.5"] in tables.rows
    assert all("hidden" not in image for image in tables.images)
    images = [image for image in tables.images if "data-epoch" in image]
    assert len(images) == len(read_record(tmp_path / "report.jsonl").pictures)


def test_page_fetches_nothing_but_older_pictures_from_beside_it(tables):
    assert all(name.startswith("report_pictures/") for name in tables.fetched)
    older = [image for image in tables.images if image["src"] in tables.fetched]
    assert all("hidden" in image and image["data-epoch"] != "2" for image in older)


def test_names_are_text_not_markup(folder):
    text = (folder / "report.html").read_text()
    assert "small &lt;graph&gt;" in text
    assert "small <graph>" not in text


def test_values_without_a_number_are_kept(tmp_path):
    recorder = Recorder([ReportMonitor(tmp_path)])
    recorder.setup(Run(name="run", settings={}, structure=""))
    recorder.scalars({"val/loss/total": float("nan")}, "val", epoch=0, global_step=0, per_step=False)
    recorder.close()
    assert '<td class="number">nan</td>' in (tmp_path / "report.html").read_text()


def test_a_run_without_values_has_a_page():
    assert "<h1>empty</h1>" in page(Record(EMPTY, 0.0))


def test_numbers_in_names_are_in_order():
    values = [
        Scalar(name=f"val/metric/share_{name}", value=0.5, step=0, epoch=0, global_step=0, stage="val")
        for name in ("pc10", "pc2")
    ]
    rows = Tables(page(Record(EMPTY, 0.0, values=[Value(one, 0.0) for one in values]))).rows
    assert [row[0] for row in rows if "share" in row[0]] == ["val/metric/share_pc2", "val/metric/share_pc10"]


def test_markdown_is_a_table_where_it_is_one_and_else_text():
    texts = {"facts": "| fact | value |\n|---|---|\n| a < b | 4 |", "words": "no | <b>table</b>"}
    shown = page(Record(EMPTY, 0.0, texts=texts))
    assert ["a < b", "4"] in Tables(shown).rows
    assert "<pre>no | &lt;b&gt;table&lt;/b&gt;</pre>" in shown


BAIT = """"'></title></script></pre><script>stolen()</script><img src=x onerror=stolen()>"""


def test_whatever_a_record_says_is_text():
    """A record may come from others; no part of it may become an element, a script or an attribute."""
    scalars = [
        Scalar(name=f"val/{kind}/{BAIT}", value=0.5, step=i, epoch=i, global_step=i, stage=BAIT)
        for kind in ("loss", "metric")
        for i in range(2)
    ]
    drawn = [
        Drawn(leaf=BAIT, picture=BAIT, png=b"", data={}, epoch=i, global_step=i, stage=BAIT) for i in range(2)
    ]
    node = OutlineNode(name=BAIT, kind=BAIT, arguments={BAIT: BAIT}, parents=(), is_leaf=False)
    leaf = OutlineNode(name="leaf", kind=BAIT, arguments={BAIT: BAIT}, parents=(BAIT,), is_leaf=True)
    recorded = Record(
        run=Run(name=BAIT, settings={BAIT: {BAIT: BAIT}}, structure=BAIT),
        started=0.0,
        values=[Value(one, 1.0) for one in scalars],
        pictures=drawn,
        texts={"table": f"| {BAIT} | b |\n|---|---|\n| {BAIT} | d |", "other": BAIT},
        outline=Outline(nodes=(node, leaf)),
        machine={BAIT: BAIT},
    )
    text = page(recorded)
    tables = Tables(text)
    assert "<script>stolen" not in text
    assert "<img src=x" not in text
    assert tables.fetched == []
    assert {attribute for image in tables.images for attribute in image} == {
        "data-epoch",
        "alt",
        "src",
        "hidden",
        "loading",
        "class",
    }
    assert [BAIT, "0.5"] in [[row[0].removeprefix("val/loss/"), row[-1]] for row in tables.rows]
    assert [f"{BAIT}.{BAIT}", BAIT] in tables.rows


def test_images_are_the_recorded_ones_the_last_one_shown():
    drawn = [
        Drawn(leaf="leaf", picture="one", png=bytes([i]), data={}, epoch=i, global_step=i, stage="val")
        for i in (1, 0)
    ]
    images = Tables(page(Record(EMPTY, 0.0, pictures=drawn))).images
    expected = [f"data:image/png;base64,{base64.b64encode(bytes([i])).decode()}" for i in (0, 1)]
    assert [image["src"] for image in images] == expected
    np.testing.assert_array_equal(["hidden" in image for image in images], [True, False])


def values_of(**by_name):
    """Values of the start and of two epochs by name."""
    scalars = [
        Scalar(name=f"{stage}/{name}", value=value, step=epoch, epoch=epoch, global_step=epoch, stage=stage)
        for name, values in by_name.items()
        for stage, epoch, value in zip(("start", "val", "val"), (0, 0, 1), values, strict=True)
    ]
    return [Value(one, 1.0) for one in scalars]


def test_the_first_screen_has_five_numbers_and_the_base_rate():
    names = [
        "metric/anomaly_auroc",
        "metric/anomaly_f1",
        "metric/other",
        "metric/more",
        "loss/total",
        "loss/bce",
    ]
    values = values_of(**{name: (0.5, 0.25, 0.75) for name in names})
    recorded = Record(EMPTY, 0.0, values=values)
    recorded.facts = {"val share of anomalies": 0.005, "val anomalies": 20, "val pixels": 4000}
    assert five_numbers(recorded, ("val/loss/total", 0)) == [
        ("AUROC", "0.5 → 0.25 → 0.75"),
        ("F1", "0.5 → 0.25 → 0.75"),
        ("loss", "0.5 → 0.25 → 0.75"),
        ("more", "0.5 → 0.25 → 0.75"),
        ("other", "0.5 → 0.25 → 0.75"),
    ]
    html = page(recorded)
    assert "Base rate: 0.50% of the validation pixels are anomalies (20 of 4000)" in html
    assert html.index("0.5 → 0.25 → 0.75") < html.index("<h2>")


def test_the_first_screen_shows_heat_map_and_curves_before_all_else():
    drawn = [
        Drawn(leaf="leaf", picture=name, png=name.encode(), data={}, epoch=0, global_step=0, stage="val")
        for name in ("weights", "overview", "precision_recall", "roc", "heatmap")
    ]
    html = page(Record(EMPTY, 0.0, pictures=drawn))
    order = [re.sub(r".*/(.*),.*", r"\1", image["alt"]) for image in Tables(html).images]
    assert order == ["heatmap", "roc", "precision_recall", "overview", "weights"]
    assert html.index("overview") < html.index("<h2>") < html.index("weights")


def test_a_page_of_many_pictures_stays_below_2_mb(tmp_path):
    """What a reader sees first is inside, older epochs beside the page, loaded when the slider shows them."""
    png = np.random.default_rng(0).bytes(120_000)
    monitor = ReportMonitor(tmp_path)
    monitor.setup(EMPTY)
    for epoch in range(30):
        shown = {"data": {}, "epoch": epoch, "global_step": epoch, "stage": "val", "leaf": "leaf"}
        monitor.log_figures([Drawn(picture=name, png=png, **shown) for name in ("weights", "heatmap")])
    monitor.close(Ending(values={}, failed=False, seconds=1.0))
    text = (tmp_path / "report.html").read_text()
    assert len(text) < 2_000_000
    images = Tables(text).images
    assert len(images) == 60
    for image in images:
        if image["data-epoch"] == "29":
            assert image["src"].startswith("data:")
        elif not image["src"].startswith("data:"):
            assert (tmp_path / image["src"]).read_bytes() == png
            assert image["loading"] == "lazy"
    assert any(not image["src"].startswith("data:") for image in images)
