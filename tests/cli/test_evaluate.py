"""`cuvis-ai evaluate`: tables, JSON and pictures of a graph and of maps."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat
from sklearn.metrics import f1_score, roc_auc_score

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.cli.command_line import main
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.threshold import Threshold


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "scenes").mkdir()
    for seed, name in enumerate(("a", "b")):
        random = np.random.default_rng(seed)
        mask = random.random((30, 25)) < 0.02
        cube = (random.normal(size=(30, 25, 4)) + 1.5 * mask[..., None]).astype(np.float32)
        savemat(tmp_path / "scenes" / f"{name}.mat", {"data": cube, "map": mask.astype(np.uint8)})
    graph = Graph("rx")
    rx = graph.add_node(RXGlobal())
    graph.add_leaf_node(Threshold("value", 12.0), rx)
    once = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
    graph.train(SceneList(sorted((tmp_path / "scenes").iterdir())), once)
    graph.save_to_file(tmp_path / "graph.zip")
    return tmp_path


def test_a_graph_is_evaluated_on_mat_scenes(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["evaluate", str(work / "graph.zip"), str(work / "scenes"), "--mask-key", "map"]
    assert main([*given, "--false-alarm-rate", "0.05", "--out", str(work / "evaluation")]) == 0

    graph = Graph.load_from_file(work / "graph.zip")
    stored = [loadmat(path) for path in sorted((work / "scenes").iterdir())]
    scores = np.concatenate([graph(one["data"]).output.numpy().ravel() for one in stored])
    truth = np.concatenate([one["map"].ravel() for one in stored])
    written = json.loads((work / "evaluation" / "evaluation.json").read_text())
    auroc, f1 = roc_auc_score(truth, scores), f1_score(truth, scores > 12)
    assert written["pooled"]["auroc"] == pytest.approx(auroc, rel=1e-12)
    assert written["pooled"]["stored/f1"] == pytest.approx(f1, rel=1e-12)
    assert written["pooled"]["rate_0.05/false_alarm_rate"] <= 0.05
    assert [one["name"] for one in written["scenes"]] == ["a", "b"]
    low, high = written["intervals_95"]["auroc"]
    assert low <= auroc <= high
    printed = capsys.readouterr().out
    assert f"{auroc:.4f}" in printed
    assert f"{f1:.4f}" in printed
    assert "Stored threshold: score > 12" in printed
    for name in ("roc.png", "precision_recall.png"):
        with Image.open(work / "evaluation" / name) as picture:
            assert picture.size[0] > 400

    assert main([*given, "--out", str(work / "evaluation")]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*given, "--out", str(work / "evaluation"), "--overwrite"]) == 0


def test_maps_are_evaluated_as_their_graph(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "truth").mkdir()
    for path in (work / "scenes").iterdir():
        np.save(work / "truth" / f"{path.stem}_mask.npy", loadmat(path)["map"])
    scenes, masks = str(work / "scenes"), ["--masks", str(work / "truth")]
    assert main(["predict", str(work / "graph.zip"), scenes, "--out", str(work / "maps"), "--mask"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(work / "graph.zip"), scenes, *masks]) == 0
    by_graph = capsys.readouterr().out
    assert main(["evaluate", str(work / "maps"), *masks]) == 0
    assert capsys.readouterr().out == by_graph


def test_a_graph_without_scenes_and_missing_masks_are_errors(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(work / "graph.zip")]) == 1
    assert "expected scenes after the graph" in capsys.readouterr().err
    assert main(["evaluate", str(work / "graph.zip"), str(work / "scenes")]) == 1
    assert "expected masks, got none for a, b" in capsys.readouterr().err


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    assert "cuvis-ai evaluate graph.zip flight/*.hdr --masks truth" in capsys.readouterr().out
