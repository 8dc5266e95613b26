"""Charts: each value is in one, beside those that it is compared with."""

import pytest

from cuvis_ai.training.monitors import Run, Scalar
from cuvis_ai.training.monitors.report.charts import charts, explained_variance
from cuvis_ai.training.monitors.report.record import Record, Value
from tests.training.monitors.report_page import traces


def record_of(names, values=(0.5, 0.5)):
    scalars = (
        Scalar(name=name, value=value, step=epoch, epoch=epoch, global_step=epoch, stage="val")
        for name in names
        for epoch, value in enumerate(values)
    )
    return Record(
        Run(name="run", settings={}, structure=""), 0.0, values=[Value(one, 0.0) for one in scalars]
    )


def test_charts_hold_the_values(folder, metrics):
    text = (folder / "report.html").read_text()
    found = traces(text)
    drawn = {trace["name"]: (trace["x"], trace["y"]) for trace in found if "name" in trace}
    for name in {row["name"] for row in metrics}:
        of_name = [row for row in metrics if row["name"] == name]
        assert drawn[name] == ([r["step"] for r in of_name], [r["value"] for r in of_name])


def test_thresholds_have_a_chart_of_their_own():
    """A threshold of 50 would press shares from 0 to 1 against the axis."""
    names = ["anomaly_auroc", "anomaly_threshold", "anomaly_f1_max_threshold", "threshold"]
    record = record_of([f"val/metric/{name}" for name in names])
    of_charts = [{trace["name"].rpartition("/")[2] for trace in traces(chart)} for chart in charts(record)]
    assert of_charts == [{"anomaly_auroc"}, {"anomaly_threshold", "anomaly_f1_max_threshold", "threshold"}]


def test_a_single_epoch_has_no_chart():
    assert charts(record_of(["val/loss/total"], [0.5])) == []


@pytest.mark.parametrize(
    ("values", "logarithmic"), [([1.0, 200.0], True), ([1.0, 50.0], False), ([-1.0, 200.0], False)]
)
def test_values_over_two_decades_have_a_logarithmic_axis(values, logarithmic):
    [chart] = charts(record_of(["val/loss/total"], values))
    assert ('"type":"log"' in chart) is logarithmic


def test_explained_variance_over_epochs_is_read_in_per_cent():
    shares, others = "val/metric/explained_variance_total", "val/metric/anomaly_auroc"
    found = {
        "Explained" in chart: '"tickformat":".0%"' in chart for chart in charts(record_of([shares, others]))
    }
    assert found == {True: True, False: False}


def test_explained_variance_is_that_of_the_last_epoch():
    record = record_of(
        ["val/metric/explained_variance_pc1", "val/metric/explained_variance_total"], [0.2, 0.7]
    )
    chart = explained_variance(record)
    [bars] = traces(chart)
    assert (bars["x"], bars["y"]) == (["component 1"], [0.7])
    assert "in total 70.0%" in chart
    assert explained_variance(record_of(["val/loss/total"])) is None
