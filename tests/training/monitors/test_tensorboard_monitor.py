"""TensorBoard's event files hold what was logged, read back with TensorBoard."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cuvis_ai.training.monitors import Recorder, TensorBoardMonitor
from cuvis_ai.training.monitors.records import flattened
from tests.recorded_run import SETTINGS, log_everything


@pytest.fixture(scope="module")
def events(recorded):
    accumulator = EventAccumulator(
        str(recorded[0] / "tensorboard" / "small__graph_"), size_guidance={"images": 0, "histograms": 0}
    )
    accumulator.Reload()
    return accumulator


def test_every_scalar_of_the_plain_file(metrics, events):
    for name in {row["name"] for row in metrics}:
        got = [(event.step, event.value) for event in events.Scalars(name)]
        expected = [(row["step"], np.float32(row["value"])) for row in metrics if row["name"] == name]
        assert got == expected
    assert set(events.Tags()["scalars"]) == {row["name"] for row in metrics}


def test_histograms_of_weights_and_gradients(histograms, events):
    for histogram in histograms:
        got = events.Histograms(histogram.name)[histogram.epoch].histogram_value
        np.testing.assert_allclose(got.bucket, histogram.counts)
        np.testing.assert_allclose(got.bucket_limit, histogram.edges[1:])
        assert got.sum / got.num == pytest.approx(histogram.mean, abs=1e-9)
    assert {name.rsplit("/", 1)[0] for name in events.Tags()["histograms"]} == {
        "train/weight",
        "train/gradient",
    }


def test_the_pictures(figures, events):
    for one in figures:
        [got] = [event for event in events.Images(one.name) if event.step == one.epoch]
        assert got.encoded_image_string == one.png
        assert got.width > got.height / 3 > 0


def test_the_graph_and_texts(events):
    nodes = {node.name: node for node in events.Graph().node}
    assert list(nodes["trainable_pca"].input) == ["min_max_normalizer"]
    assert nodes["min_max_normalizer"].input == ["cube"]
    assert nodes["trainable_pca"].attr["n_components"].s == b"3"
    assert nodes["rx_global.leaves/anomaly_heatmap"].input == ["rx_global"]
    assert {name for node in nodes.values() for name in node.input} <= nodes.keys(), "one connected pipeline"
    assert b"| cubes | 4 |" in events.Tensors("data_set/text_summary")[0].tensor_proto.string_val[0]


def test_hyper_parameters_and_final_metrics(events):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    contents = events.PluginTagToContent("hparams")
    start = HParamsPluginData.FromString(contents["_hparams_/session_start_info"]).session_start_info
    assert start.hparams["optimizer.lr"].number_value == 0.001
    assert start.hparams["nodes.trainable_pca.n_components"].number_value == 3
    assert start.hparams["data_set.share"].number_value == 0.25
    assert set(start.hparams) == {*flattened(SETTINGS), "data_set.cubes", "data_set.share"}
    experiment = HParamsPluginData.FromString(contents["_hparams_/experiment"]).experiment
    assert "val/metric/anomaly_f1" in {metric.name.tag for metric in experiment.metric_infos}


def test_an_earlier_run_is_one_of_its_own(tmp_path):
    for _ in range(3):
        log_everything(Recorder([TensorBoardMonitor(tmp_path)]))
    folders = {path.parent for path in tmp_path.rglob("events.*")}
    assert len(folders) == 3
    assert tmp_path / "run" in folders, "the newest is called like its graph"
    for folder in folders:
        accumulator = EventAccumulator(str(folder))
        accumulator.Reload()
        assert len(accumulator.Scalars("val/loss/total")) == 1
