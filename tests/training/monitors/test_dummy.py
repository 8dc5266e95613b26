"""Plain files: every value in a row, every picture with its data, earlier runs moved aside."""

import json
from pathlib import Path

import numpy as np

from cuvis_ai.training.monitors import DummyMonitor, Recorder
from tests.recorded_run import RUN, STEP, fitted_graph, log_everything, record


def rows(folder, stem="metrics"):
    return [json.loads(line) for line in (folder / f"{stem}.jsonl").read_text().splitlines()]


def test_one_row_a_value(tmp_path):
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


def test_rows_are_in_the_file_as_soon_as_they_are_logged(tmp_path):
    recorder = Recorder([DummyMonitor(tmp_path)])
    recorder.setup(RUN)
    assert rows(tmp_path) == []
    recorder.scalars({"val/loss/total": 0.5}, "val", **STEP, per_step=False)
    assert len(rows(tmp_path)) == 1
    recorder.close()


def test_histograms_texts_and_the_graph_have_files_of_their_own(tmp_path):
    log_everything(Recorder([DummyMonitor(tmp_path)]))
    [histogram] = rows(tmp_path, "histograms")
    np.testing.assert_array_equal(histogram["counts"], np.histogram(np.arange(5.0), 64)[0])
    np.testing.assert_array_equal(histogram["edges"], np.histogram(np.arange(5.0), 64)[1])
    assert histogram["name"] == "train/weight/w"
    assert rows(tmp_path, "texts") == [{"name": "facts", "text": "text", "facts": {}}]
    assert json.loads((tmp_path / "settings.json").read_text()) == RUN.settings
    assert (tmp_path / "graph.mmd").read_text() == "flowchart LR\n"


def test_pictures_are_kept_with_their_data(folder, figures):
    written = {path.stem for path in (folder / "pictures/val").glob("*/*.png")}
    assert written == {f"{one.picture}_epoch_{one.epoch:04d}" for one in figures}
    for one in figures:
        stem = folder / "pictures/val" / one.leaf / f"{one.picture}_epoch_{one.epoch:04d}"
        assert Path(f"{stem}.png").read_bytes() == one.png
        with np.load(f"{stem}.npz", allow_pickle=False) as arrays:
            assert set(arrays) == set(one.data)
            for name, array in one.data.items():
                np.testing.assert_array_equal(arrays[name], array)


def test_without_thumbnails_the_data_are_kept_alone(tmp_path):
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
