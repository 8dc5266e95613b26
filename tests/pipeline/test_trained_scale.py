"""A graph remembers what the numbers of its training stood for, and reads later scenes alike."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvis_ai.cli import main
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_batch import read_batch
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.scene_detection import detect
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import OrthogonalityLoss
from tests.data.files import write_envi

ONCE = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
RATES = [4.0, 3.0, 2.0, 1.0, 5.0]
VALUES = np.random.default_rng(0).normal(size=(20, 30, 5)) * RATES + 50


def scene(path: Path, factor: float | None, **fields: str) -> Path:
    """Counts that a factor turns into `VALUES`; without one the values themselves."""
    if factor is None:
        write_envi(path, VALUES.astype(np.float32), **fields)
    else:
        write_envi(path, np.rint(VALUES * factor).astype(np.uint16), reflectance_scale_factor=str(factor))
    return path


@pytest.fixture
def scenes(tmp_path: Path) -> dict[str, Path]:
    """One scene in three forms."""
    return {name: scene(tmp_path / f"{name}.hdr", factor) for name, factor in FORMS.items()}


FORMS = {"thousandths": 1000.0, "hundredths": 100.0, "values": None}


def trained(path: Path, **options: Any) -> Graph:
    graph = Graph()
    graph.add_node(TrainablePCA(2))
    graph.train(SceneTiles(path, tile=10, **options), ONCE)
    graph.save_to_file(path.with_suffix(".zip"))
    return Graph.load_from_file(path.with_suffix(".zip"))


def test_every_door_reads_as_the_graph_was_trained(scenes: dict[str, Path], tmp_path: Path) -> None:
    graph = trained(scenes["thousandths"], scaled=True, bad_bands=[1])
    values = VALUES[..., [0, 2, 3, 4]]
    [components, mean] = [
        graph.state_dict()[f"nodes.trainable_pca.{name}"] for name in ("components", "mean")
    ]
    expected = (values - mean.numpy()) @ components.numpy().T
    for path in scenes.values():
        found = {
            "call": graph(path).output[0].permute(1, 2, 0).numpy(),
            "cube": graph(read_cube(path)).output[0].permute(1, 2, 0).numpy(),
            "batch": graph(read_batch(path, scaled=True, bad_bands=[1])).output[0].permute(1, 2, 0).numpy(),
            "predict": graph.predict(path)[0].scores,
        }
        for door, scores in found.items():
            np.testing.assert_allclose(scores, expected, atol=0.02, err_msg=f"{path.stem}: {door}")
    assert "gain 0.001 and offset 0, applied" in dict(graph.facts())["scale of the files"]
    graph.export_onnx(tmp_path / "model.onnx")
    assert (
        main(
            ["predict", str(tmp_path / "model.onnx"), str(scenes["hundredths"]), "--out", str(tmp_path / "o")]
        )
        == 0
    )
    found = read_cube(tmp_path / "o" / "hundredths_scores.hdr").values[:]
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_what_contradicts_the_training_is_refused(scenes: dict[str, Path], caplog: Any) -> None:
    counts, other = scenes["thousandths"], scenes["hundredths"]
    graph = trained(counts, scaled=True)
    as_trained = "expected `scaled=True`, as the graph was trained"
    for refused in (
        lambda: graph.predict(counts, scaled=False),
        lambda: graph(read_batch(counts)),
        lambda: graph.evaluate(SceneTiles(counts, tile=10), split="train"),
        lambda: graph.train(SceneTiles(counts, tile=10), ONCE),
    ):
        with pytest.raises(GraphError, match=as_trained):
            refused()
    with caplog.at_level(logging.WARNING):
        graph(scenes["values"])
    assert "values.hdr: declares no scale factor" in caplog.text
    with pytest.raises(ConfigError, match="`scaled` as True, False or None, got 'no'"):
        graph.predict(counts, scaled="no")
    raw = trained(counts)
    with pytest.raises(GraphError, match="expected `scaled=False`, as the graph was trained"):
        raw.predict(counts, scaled=True)
    for refused in (lambda: raw(other), lambda: raw.predict(other), lambda: raw(read_batch(other))):
        with pytest.raises(GraphError, match=r"scale of training, gain 0.001 .*got gain 0.01 "):
            refused()
    assert raw(counts).output.shape == raw(np.asarray(read_cube(counts).values)).output.shape


def test_factors_are_compared_band_by_band_of_those_that_are_needed(tmp_path: Path) -> None:
    gains = "{1,2,3,4,5}"
    graph = trained(scene(tmp_path / "a.hdr", None, data_gain_values=gains), bad_bands=[1])
    graph(scene(tmp_path / "b.hdr", None, data_gain_values="{1,9,3,4,5}"))  # of the band left out
    with pytest.raises(GraphError, match="scale of training"):
        graph(scene(tmp_path / "c.hdr", None, data_gain_values="{1,2,3,9,5}"))


def test_shares_of_two_scales_are_refused(scenes: dict[str, Path], tmp_path: Path) -> None:
    graph = Graph()
    graph.add_node(TrainablePCA(2))
    files = [
        graph.sketch(SceneTiles(scenes["thousandths"], tile=10, scaled=i == 1), tmp_path / f"{i}", (i, 2))
        for i in (1, 2)
    ]
    with pytest.raises(GraphError, match="the same bands and scale, got several"):
        graph.fit_from(files)


def test_a_saved_detector_reads_as_detect_did(scenes: dict[str, Path], tmp_path: Path) -> None:
    zipped = tmp_path / "d.zip"
    [found] = detect(scenes["thousandths"], scaled=True, extent=None, save=zipped)
    [again] = Graph.load_from_file(zipped).predict(scenes["thousandths"])
    np.testing.assert_array_equal(found.scores, again.scores)
    [other] = Graph.load_from_file(zipped).predict(scenes["hundredths"])
    assert np.corrcoef(np.ravel(other.scores), np.ravel(found.scores))[0, 1] > 0.99


def test_a_run_does_not_go_on_in_another_scale(scenes: dict[str, Path], tmp_path: Path) -> None:
    def run(epochs: int, *, scaled: bool, ckpt_path: Any = None) -> None:
        graph = Graph()
        pca = graph.add_node(TrainablePCA(2, trainable=True))
        graph.add_leaf_node(OrthogonalityLoss(), parent=pca)
        settings = TrainingConfig(trainer=TrainerConfig(max_epochs=epochs, enable_progress_bar=False))
        trainer = graph.train(
            SceneList([scenes["thousandths"]], scaled=scaled), settings, ckpt_path=ckpt_path
        )
        trainer.save_checkpoint(tmp_path / f"{scaled}.ckpt")

    run(1, scaled=True)
    with pytest.raises(ConfigError, match="cannot go on with these data: .*expected `scaled=True`"):
        run(2, scaled=False, ckpt_path=tmp_path / "True.ckpt")
    run(2, scaled=True, ckpt_path=tmp_path / "True.ckpt")
