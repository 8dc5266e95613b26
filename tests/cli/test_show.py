"""`cuvis-ai show`: the structure of a saved graph, printed."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.cli import main
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.threshold import Threshold
from tests.data.files import write_envi
from tests.pipeline.test_graph import fitted


def test_show_prints_the_structure_of_a_saved_graph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = fitted()
    graph.save_to_file(tmp_path / "graph.zip")
    capsys.readouterr()
    assert main(["show", str(tmp_path / "graph.zip")]) == 0
    assert capsys.readouterr().out.startswith(f"{graph!r}\n")


@pytest.mark.parametrize("content", [None, b"", b"no zip"], ids=["missing", "empty", "no zip"])
def test_show_names_a_file_that_is_no_graph(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "graph.zip"
    if content is not None:
        path.write_bytes(content)
    assert main(["show", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("cuvis-ai: ")
    assert str(path) in printed.err
    assert printed.out == ""


FIELDS = {
    "data_ignore_value": "-9999",
    "bbl": "{1,1,0,1,1}",
    "wavelength": "{400,500,600,700,800}",
    "wavelength_units": "nm",
    "map_info": "{UTM, 1, 1, 500000, 4600000, 2, 2, 33, North, WGS-84, units=Meters}",
}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    cube = np.random.default_rng(0).integers(0, 100, (20, 10, 5)).astype("i2")
    write_envi(tmp_path / "scene.hdr", cube, **FIELDS)
    return tmp_path / "scene.hdr"


def test_show_prints_the_header_facts_of_a_scene(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(scene)]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line in (
        "size: 20 rows, 10 columns, 5 bands",
        "type: int16, 0.002 MB; as float32 0.004 MB",
        "wavelengths: [400, 500, 600, 700, 800] nm",
        "bad bands: 1: [2]",
        "no data: -9999",
        "pixel: 2 x 2",
        "first pixel's centre: 500001, 4599999",
        "last pixel's centre: 500019, 4599961",
    ):
        assert line in lines
    assert any(line.startswith("coordinate system: ") and "32633" in line for line in lines)


def test_show_says_what_a_scene_does_not_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "plain.npy", np.ones((3, 4, 6), "f4"))
    assert main(["show", str(tmp_path / "plain.npy")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"wavelengths: unknown", "bad bands: not stated", "no data: not stated", "georeference: none"} <= {
        *lines
    }
    assert main(["show", str(tmp_path / "missing.npy")]) == 1
    assert "no such file" in capsys.readouterr().err


def test_show_prints_bands_threshold_arguments_and_fit_of_a_graph(
    scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = Graph("detector")
    pca = graph.add_node(TrainablePCA(3))
    rx = graph.add_node(RXGlobal(eps=0.5), parent=pca)
    graph.add_leaf_node(Threshold("quantile", 0.95), rx).value = 7.25
    once = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
    graph.train(SceneList([scene]), once)
    graph.save_to_file(scene.with_name("graph.zip"))
    capsys.readouterr()
    assert main(["show", str(scene.with_name("graph.zip"))]) == 0
    printed = capsys.readouterr().out
    for text in (
        "bands: 4, centred at [400, 500, 700, 800] nm",
        "bands of the files: [0, 1, 3, 4]",
        "context: 0 pixels around each",
        "threshold of rx_global: score > 7.25 (rule quantile 0.95)",
        "n_components=3",
        "eps=0.5",
        "fit of trainable_pca: Explained variance: [",
    ):
        assert text in printed
