"""What a run logs is in every monitor, read back with the trackers' own formats; no monitor ends a run."""

import json
import logging
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import wandb
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cuvis_ai.errors import ConfigError
from cuvis_ai.leaf.bases import Picture
from cuvis_ai.pipeline.saving.class_path import resolve
from cuvis_ai.training.monitors import (
    DummyMonitor,
    Monitor,
    Outline,
    OutlineNode,
    Recorder,
    Run,
    TensorBoardMonitor,
    WandBMonitor,
)
from cuvis_ai.training.monitors.records import flattened, histogram_of
from cuvis_ai.training.monitors.report import ReportMonitor
from tests.recorded_run import SETTINGS, fitted_graph, record
from tests.wandb_files import fresh_wandb, history, offline_records, values_of

__all__ = ["fresh_wandb"]  # a fixture

RUN = Run(name="run", settings=SETTINGS, structure="flowchart LR")
OUTLINE = Outline(nodes=(OutlineNode(name="pca", kind="PCA", arguments={}, parents=(), is_leaf=False),))
STEP = {"epoch": 2, "global_step": 30}


class Kept:
    """A monitor of a user's own, which keeps everything."""

    def __init__(self, fails_at=None, error=None):
        self.fails_at = fails_at
        self.error = error or RuntimeError("no disk left")
        self.calls = []

    def _keep(self, name, what):
        if name == self.fails_at:
            raise self.error
        self.calls.append((name, what))

    def setup(self, run):
        self._keep("setup", run)

    def log_scalars(self, scalars):
        self._keep("log_scalars", scalars)

    def log_figures(self, figures):
        self._keep("log_figures", figures)

    def log_histograms(self, histograms):
        self._keep("log_histograms", histograms)

    def log_text(self, text):
        self._keep("log_text", text)

    def log_graph(self, outline):
        self._keep("log_graph", outline)

    def close(self, ending):
        self._keep("close", ending)

    def of(self, name):
        return [what for called, what in self.calls if called == name]


METHODS = ["setup", "log_graph", "log_scalars", "log_histograms", "log_figures", "log_text", "close"]


def picture(name="picture"):
    figure = Figure(figsize=(2, 1), dpi=50)
    figure.add_subplot().plot([1, 2])
    return Picture(name, figure, {"line": np.array([1.0, 2.0])})


def log_everything(recorder):
    recorder.setup(RUN)
    recorder.graph(OUTLINE)
    recorder.scalars({"val/loss/total": 0.5}, "val", **STEP, per_step=False)
    recorder.histograms({"train/weight/w": np.arange(5.0)}, **STEP)
    recorder.figures([("leaf", picture())], "val", **STEP)
    recorder.text("facts", "text")
    recorder.close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run with all monitors at once: the folder, and what a monitor of a user's own was given."""
    folder, kept = tmp_path_factory.mktemp("run"), Kept()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_DIR", str(folder))
        wandb.teardown()
        monitors = [
            DummyMonitor(folder / "artifacts"),
            TensorBoardMonitor(folder / "tensorboard", flush_secs=30),
            WandBMonitor("cuvis_ai_test", tags=["a", "b"], notes="why", mode="offline"),
            kept,
        ]
        recorder = record(fitted_graph(), monitors, epochs=2)
    assert recorder.monitors == monitors, "none was left out"
    return folder, kept


def rows(folder, stem="metrics"):
    return [json.loads(line) for line in (folder / f"{stem}.jsonl").read_text().splitlines()]


# Files.


def test_dummy_monitor_writes_one_row_a_value(tmp_path):
    recorder = Recorder([DummyMonitor(tmp_path)])
    recorder.setup(RUN)
    recorder.scalars({"val/metric/f1": 0.5, "val/loss/total": float("nan")}, "val", **STEP, per_step=False)
    recorder.scalars({"train/loss/total_step": 0.25}, "train", **STEP, per_step=True)
    recorder.close()
    assert rows(tmp_path) == [
        {"name": "val/metric/f1", "value": 0.5, "step": 2, **STEP, "stage": "val"},
        {"name": "val/loss/total", "value": None, "step": 2, **STEP, "stage": "val"},
        {"name": "train/loss/total_step", "value": 0.25, "step": 30, **STEP, "stage": "train"},
    ]


def test_dummy_monitor_keeps_pictures_with_their_data(recorded):
    folder, kept = recorded
    figures = [one for many in kept.of("log_figures") for one in many]
    assert {one.picture for one in figures} == {
        "scatter", "overview", "components", "spectra", "heatmap", "histogram", "precision_recall",
    }  # fmt: skip
    for one in figures:
        stem = folder / "artifacts/pictures/val" / one.leaf / f"{one.picture}_epoch_{one.epoch:04d}"
        assert Path(f"{stem}.png").read_bytes() == one.png
        with np.load(f"{stem}.npz", allow_pickle=False) as arrays:
            assert set(arrays) == set(one.data)
            for name, array in one.data.items():
                np.testing.assert_array_equal(arrays[name], array)


def test_dummy_monitor_without_thumbnails_keeps_the_data_alone(tmp_path):
    log_everything(Recorder([DummyMonitor(tmp_path, save_thumbnails=False)]))
    assert [path.name for path in (tmp_path / "pictures/val/leaf").iterdir()] == ["picture_epoch_0002.npz"]


def test_files_of_an_earlier_run_are_moved_aside(tmp_path):
    for _ in range(3):
        log_everything(Recorder([DummyMonitor(tmp_path)]))
    for name in ("metrics*.jsonl", "histograms*.jsonl", "texts*.jsonl", "pictures*"):
        assert len(list(tmp_path.glob(name))) == 3
    for path in tmp_path.glob("metrics*.jsonl"):
        assert len(path.read_text().splitlines()) == 1
    stamps = {path.name.split(".", 1)[1].removesuffix(".jsonl") for path in tmp_path.glob("metrics.*.jsonl")}
    assert stamps == {path.name.split(".", 1)[1] for path in tmp_path.glob("pictures.*")}


def test_a_resumed_run_appends(tmp_path):
    graph = fitted_graph(leaves=False)
    record(graph, [DummyMonitor(tmp_path)], epochs=2)
    record(graph, [DummyMonitor(tmp_path)], epochs=1, first=2)
    losses = [row["step"] for row in rows(tmp_path) if row["name"] == "val/loss/total"]
    assert losses == [0, 1, 2]
    assert not list(tmp_path.glob("metrics.*Z*"))


# TensorBoard.


@pytest.fixture(scope="module")
def events(recorded):
    accumulator = EventAccumulator(
        str(recorded[0] / "tensorboard"), size_guidance={"images": 0, "histograms": 0}
    )
    accumulator.Reload()
    return accumulator


def test_tensorboard_has_every_scalar_of_the_file(recorded, events):
    written = rows(recorded[0] / "artifacts")
    for name in {row["name"] for row in written}:
        got = [(event.step, event.value) for event in events.Scalars(name)]
        expected = [(row["step"], np.float32(row["value"])) for row in written if row["name"] == name]
        assert got == expected
    assert set(events.Tags()["scalars"]) == {row["name"] for row in written}


def test_tensorboard_has_histograms_of_weights_and_gradients(recorded, events):
    for histogram in (one for many in recorded[1].of("log_histograms") for one in many):
        got = events.Histograms(histogram.name)[histogram.epoch].histogram_value
        np.testing.assert_allclose(got.bucket, histogram.counts)
        np.testing.assert_allclose(got.bucket_limit, histogram.edges[1:])
        assert got.sum / got.num == pytest.approx(histogram.mean, abs=1e-9)
    assert {name.rsplit("/", 1)[0] for name in events.Tags()["histograms"]} == {
        "train/weight",
        "train/gradient",
    }


def test_tensorboard_has_the_pictures(recorded, events):
    for one in (one for many in recorded[1].of("log_figures") for one in many):
        [got] = [event for event in events.Images(one.name) if event.step == one.epoch]
        assert got.encoded_image_string == one.png
        assert got.width > got.height / 3 > 0


def test_tensorboard_has_the_graph_and_texts(recorded, events):
    nodes = {node.name: node for node in events.Graph().node}
    assert list(nodes["trainable_pca"].input) == ["min_max_normalizer"]
    assert nodes["min_max_normalizer"].input == ["cube"]
    assert nodes["trainable_pca"].attr["n_components"].s == b"3"
    assert nodes["anomaly_heatmap"].input == ["rx_global"]
    assert b"| cubes | 4 |" in events.Tensors("data_set/text_summary")[0].tensor_proto.string_val[0]


def test_tensorboard_has_hyper_parameters_and_final_metrics(events):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    contents = events.PluginTagToContent("hparams")
    start = HParamsPluginData.FromString(contents["_hparams_/session_start_info"]).session_start_info
    assert start.hparams["optimizer.lr"].number_value == 0.001
    assert set(start.hparams) == set(flattened(SETTINGS))
    experiment = HParamsPluginData.FromString(contents["_hparams_/experiment"]).experiment
    assert "val/metric/anomaly_f1" in {metric.name.tag for metric in experiment.metric_infos}


def test_tensorboard_shows_an_earlier_run_as_one_of_its_own(tmp_path):
    for _ in range(3):
        log_everything(Recorder([TensorBoardMonitor(tmp_path)]))
    folders = {path.parent for path in tmp_path.rglob("events.*")}
    assert len(folders) == 3
    for folder in folders:
        accumulator = EventAccumulator(str(folder))
        accumulator.Reload()
        assert len(accumulator.Scalars("val/loss/total")) == 1


# Weights & Biases.


@pytest.fixture(scope="module")
def wandb_records(recorded):
    return list(offline_records(recorded[0]))


def test_wandb_has_every_scalar_of_the_file(recorded, wandb_records):
    values = history(wandb_records)
    for row in rows(recorded[0] / "artifacts"):
        assert values[row["name"], row["step"]] == row["value"]


def test_wandb_draws_each_value_over_its_axis(wandb_records):
    axes = {
        r.metric.name: r.metric.step_metric for r in wandb_records if r.WhichOneof("record_type") == "metric"
    }
    assert axes["val/loss/total"] == "epoch"
    assert axes["train/loss/total_step"] == "global_step"


def test_wandb_has_configuration_and_description(wandb_records):
    [run] = [r.run for r in wandb_records if r.WhichOneof("record_type") == "run"]
    assert (run.project, run.display_name, run.notes) == ("cuvis_ai_test", "small <graph>", "why")
    assert list(run.tags) == ["a", "b"]
    config = values_of(u for r in wandb_records for u in (*r.run.config.update, *r.config.update))
    assert config["optimizer"]["lr"] == 0.001
    assert config["nodes"]["trainable_pca"]["class"] == "TrainablePCA"


def test_wandb_has_pictures_and_histograms(recorded, wandb_records):
    folder, kept = recorded
    values = history(wandb_records)
    for one in (one for many in kept.of("log_figures") for one in many):
        logged = values[one.name, one.epoch]
        assert logged["_type"] == "image-file"
        assert list(folder.rglob(Path(logged["path"]).name))
    for one in (one for many in kept.of("log_histograms") for one in many):
        assert values[one.name, one.epoch]["values"] == one.counts.tolist()


def test_wandb_disabled_writes_nothing(fresh_wandb):
    kept = Kept()
    recorder = Recorder([WandBMonitor("project", mode="disabled"), kept])
    log_everything(recorder)
    assert len(recorder.monitors) == 2
    assert not list(fresh_wandb.rglob("*.wandb"))


def test_wandb_goes_offline_where_the_server_does_not_answer(fresh_wandb, monkeypatch, caplog):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        kept = Kept()
        recorder = Recorder([WandBMonitor("project", mode="online", timeout=3.0), kept])
        with caplog.at_level(logging.WARNING, "cuvis_ai"):
            log_everything(recorder)
    # wandb logs the same once more under its own name.
    [warning] = [one for one in caplog.records if one.name.startswith("cuvis_ai")]
    assert "records this run offline" in warning.getMessage()
    assert len(recorder.monitors) == 2
    assert history(offline_records(fresh_wandb))["val/loss/total", 2] == 0.5
    assert kept.of("log_scalars")


@pytest.mark.parametrize(
    ("monitor", "package"),
    [
        (WandBMonitor("project", mode="offline"), "wandb"),
        (TensorBoardMonitor("unused"), "tensorboard"),
        (ReportMonitor("unused"), "plotly"),
    ],
)
def test_a_missing_package_gives_one_warning(monitor, package, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, package, None)
    kept = Kept()
    with caplog.at_level(logging.WARNING, "cuvis_ai"):
        log_everything(Recorder([monitor, kept]))
    [warning] = caplog.records
    assert f"`{package}`, which is not installed" in warning.getMessage()
    assert 'pip install "cuvis_ai[' in warning.getMessage()
    assert [name for name, _ in kept.calls] == METHODS


def test_wandb_refuses_an_unknown_mode():
    with pytest.raises(ConfigError, match="mode: expected online, offline, disabled, got 'dry'"):
        WandBMonitor("project", mode="dry")


# All of them.


@pytest.mark.parametrize("cls", [DummyMonitor, TensorBoardMonitor, WandBMonitor])
def test_monitor_is_named_by_its_import_path(cls):
    assert resolve(f"cuvis_ai.training.monitors.{cls.__name__}", (Monitor,)) is cls


@pytest.mark.parametrize("method", METHODS)
def test_a_monitor_that_fails_is_left_out_and_the_others_go_on(method, caplog):
    failing, kept = Kept(fails_at=method), Kept()
    with caplog.at_level(logging.WARNING, "cuvis_ai"):
        log_everything(Recorder([failing, kept]))
    [warning] = caplog.records
    assert warning.getMessage() == (
        "Kept failed and records no more of this run; training goes on. RuntimeError: no disk left"
    )
    assert [name for name, _ in failing.calls] == METHODS[: METHODS.index(method)]
    assert [name for name, _ in kept.calls] == METHODS


def test_an_interrupt_passes():
    with pytest.raises(KeyboardInterrupt):
        log_everything(Recorder([Kept(fails_at="log_scalars", error=KeyboardInterrupt())]))


def test_other_ranks_record_nothing():
    kept = Kept()
    recorder = Recorder([kept], active=False)
    log_everything(recorder)
    assert not recorder.active
    assert kept.calls == []


def test_all_monitors_receive_the_same_records():
    first, second = Kept(), Kept()
    log_everything(Recorder([first, second]))
    assert all(a is b for (_, a), (_, b) in zip(first.calls, second.calls, strict=True))


def test_ending_holds_the_last_value_of_each_epoch():
    kept = Kept()
    record(fitted_graph(leaves=False), [kept], failed=True)
    [ending] = kept.of("close")
    assert ending.values["val/loss/total"] == 0.75
    assert "train/loss/total_step" not in ending.values
    assert ending.failed


# Pictures and histograms.


def test_figures_are_cleared_once_rendered():
    one = picture()
    Recorder([Kept()]).figures([("leaf", one)], "val", **STEP)
    assert one.figure.axes == []


def test_a_figure_that_cannot_be_rendered_costs_a_warning_alone(caplog):
    broken, kept = picture("broken"), Kept()
    broken.figure.suptitle("$\\notacommand{$")
    with caplog.at_level(logging.WARNING, "cuvis_ai"):
        Recorder([kept]).figures([("leaf", broken), ("leaf", picture())], "val", **STEP)
    assert [one.picture for one in kept.of("log_figures")[0]] == ["picture"]
    assert "Picture `broken` of `leaf` could not be rendered" in caplog.text


def test_object_arrays_would_be_pickled_and_are_left_out(caplog):
    one, kept = picture(), Kept()
    one.data["objects"] = np.array([{}, None], dtype=object)
    Recorder([kept]).figures([("leaf", one)], "val", **STEP)
    assert set(kept.of("log_figures")[0][0].data) == {"line"}
    assert "['objects'] hold objects" in caplog.text


@pytest.mark.parametrize(
    ("values", "n", "nonfinite"),
    [
        (np.arange(100.0), 100, 0),
        (np.array([1.0, np.nan, np.inf, 2.0]), 2, 2),
        (np.full(7, 3.0), 7, 0),
        (np.empty(0), 0, 0),
        (np.full(3, np.nan), 0, 3),
        (np.array([1e30, -1e30], dtype=np.float32), 2, 0),
    ],
)
def test_histogram_counts_every_finite_value(values, n, nonfinite):
    histogram = histogram_of("train/weight/w", values, **STEP)
    assert histogram.counts.sum() == n
    assert histogram.n_nonfinite == nonfinite
    assert np.isfinite([histogram.mean, histogram.std, *histogram.edges]).all()
    if n:
        assert histogram.mean == pytest.approx(values[np.isfinite(values)].astype(float).mean())
