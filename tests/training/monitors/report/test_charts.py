"""Charts: each value is in one, beside those that it is compared with."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from cuvis_ai.training.monitors import Run, Scalar
from cuvis_ai.training.monitors.report.charts import charts, explained_variance
from cuvis_ai.training.monitors.report.record import Record, Value, read_record
from tests.training.monitors.report_page import lines


def record_of(names, values=(0.5, 0.5)):
    scalars = (
        Scalar(name=name, value=value, step=epoch, epoch=epoch, global_step=epoch, stage="val")
        for name in names
        for epoch, value in enumerate(values)
    )
    return Record(
        Run(name="run", settings={}, structure=""), 0.0, values=[Value(one, 0.0) for one in scalars]
    )


def along(values):
    """Where values stand between the least and the greatest of them."""
    values = np.asarray(values, dtype=float)
    return (values - values.min()) / np.ptp(values)


def test_charts_hold_the_values(folder, metrics):
    drawn = {}
    for chart in charts(read_record(folder / "report.jsonl")):
        drawn |= lines(chart.svg)
    assert drawn.keys() == {row["name"] for row in metrics}
    for name, points in drawn.items():
        of_name = [row for row in metrics if row["name"] == name]
        assert along(points[:, 0]) == pytest.approx(along([row["step"] for row in of_name]), abs=1e-4)
        values = [row["value"] for row in of_name]
        if len(set(values)) > 1:  # SVG counts from the top
            assert along(-points[:, 1]) == pytest.approx(along(values), abs=1e-4)


def test_thresholds_have_a_chart_of_their_own():
    """A threshold of 50 would press shares from 0 to 1 against the axis."""
    names = ["anomaly_auroc", "anomaly_threshold", "anomaly_f1_max_threshold", "threshold"]
    record = record_of([f"val/metric/{name}" for name in names])
    of_charts = [{name.rpartition("/")[2] for name in lines(chart.svg)} for chart in charts(record)]
    assert of_charts == [{"anomaly_auroc"}, {"anomaly_threshold", "anomaly_f1_max_threshold", "threshold"}]


def test_a_single_epoch_has_no_chart():
    assert charts(record_of(["val/loss/total"], [0.5])) == []


@pytest.mark.parametrize(
    ("values", "logarithmic"),
    [([1.0, 10.0, 1000.0], True), ([1.0, 10.0, 50.0], False), ([-1.0, 200.0, 5.0], False)],
)
def test_values_over_two_decades_have_a_logarithmic_axis(values, logarithmic):
    [chart] = charts(record_of(["val/loss/total"], values))
    expected = np.log10(values) if logarithmic else values
    assert along(-lines(chart.svg)["val/loss/total"][:, 1]) == pytest.approx(along(expected), abs=1e-4)


def test_a_long_line_is_small_and_keeps_its_peak():
    values = np.sin(np.arange(50_000.0))
    values[31_415] = 50.0
    [chart] = charts(record_of(["val/loss/total"], values.tolist()))
    assert len(chart.svg) < 60_000
    points = lines(chart.svg)["val/loss/total"]
    at = points[points[:, 1].argmin(), 0]
    assert (at - points[0, 0]) / np.ptp(points[:, 0]) == pytest.approx(31_415 / 50_000, abs=1e-3)


def test_names_are_text_whatever_they_hold():
    name = "val/loss/$a_$<script>"
    [chart] = charts(record_of([name]))
    assert b"<script" not in chart.svg
    assert name in "".join(ET.fromstring(chart.svg).itertext())


def test_explained_variance_is_that_of_the_last_epoch():
    record = record_of(
        ["val/metric/explained_variance_pc1", "val/metric/explained_variance_total"], [0.2, 0.7]
    )
    chart = explained_variance(record)
    assert chart.title == "Explained variance, in total 70.0%"
    assert b">70.0%</text>" in chart.svg
    assert explained_variance(record_of(["val/loss/total"])) is None
