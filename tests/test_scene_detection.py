"""`detect` fits the default detector to scenes without labels, each or all together, and maps them."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.cli.command_line import main
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipelines import unsupervised
from cuvis_ai.scene_detection import detect
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from tests.data.files import write_envi

MAP = "{UTM, 1, 1, 500000, 4600000, 2, 2, 33, North, WGS-84, units=Meters}"
PLANTED = (30, 20)


def write_scene(path: Path, seed: int, **fields: str) -> Path:
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(3, 12))
    abundances = generator.normal(size=(48, 40, 3)).cumsum(0).cumsum(1)
    cube = 1000 + abundances @ mixing + generator.normal(size=(48, 40, 12))
    cube[PLANTED[0] : PLANTED[0] + 2, PLANTED[1] : PLANTED[1] + 2] += 60 * generator.normal(size=12)
    write_envi(path, cube.astype("f4"), map_info=MAP, **fields)
    return path


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    (tmp_path / "scenes").mkdir()
    return [write_scene(tmp_path / "scenes" / f"{name}.hdr", seed) for seed, name in enumerate("ab")]


def test_the_strongest_detection_is_what_was_planted(scenes: list[Path]) -> None:
    for scene in scenes:
        (found,) = detect(scene, detections=True)
        assert found.detections
        strongest = found.detections[0]
        assert abs(strongest.row - PLANTED[0] - 0.5) <= 1
        assert abs(strongest.column - PLANTED[1] - 0.5) <= 1


def test_each_scene_is_fitted_on_its_own_unless_together(scenes: list[Path]) -> None:
    alone = detect(scenes[0])[0].scores[...]
    apart = detect(scenes)
    together = detect(scenes, together=True)
    np.testing.assert_array_equal(apart[0].scores, alone)
    assert np.abs(together[0].scores - alone).max() > 0.01


def test_a_detector_of_one_scene_refitted_to_another_is_that_scenes_own(
    scenes: list[Path], tmp_path: Path
) -> None:
    detect(scenes[0], save=tmp_path / "detector.zip")
    graph = Graph.load_from_file(tmp_path / "detector.zip")
    (own,) = detect(scenes[1], mask=True)
    (unchanged,) = graph.predict(scenes[1])
    (refitted,) = graph.predict(scenes[1], refit=True, mask=True)
    np.testing.assert_allclose(refitted.scores, own.scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(refitted.mask, own.mask)
    assert np.abs(unchanged.scores - own.scores).max() > 0.01
    # The graph is as it was, and the command does the same.
    np.testing.assert_array_equal(graph.predict(scenes[1])[0].scores, unchanged.scores)
    given = ["predict", str(tmp_path / "detector.zip"), *map(str, scenes), "--refit", "--no-picture"]
    assert main([*given, "--out", str(tmp_path / "maps"), "--format", "npy"]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "maps" / "b_scores.npy"), refitted.scores)


def test_an_array_in_memory_can_be_refitted_to(scenes: list[Path]) -> None:
    graph = unsupervised(extent=None, n_components=4)
    values = read_cube(scenes[0]).values[...]
    (found,) = graph.predict(values, refit=True)
    (own,) = detect(scenes[0], extent=None, n_components=4)
    np.testing.assert_allclose(found.scores, own.scores, rtol=1e-5, atol=1e-5)


def test_together_is_the_default_detector_fitted_to_all_pixels(scenes: list[Path]) -> None:
    graph = unsupervised()
    once = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
    graph.train(SceneList(scenes), once)
    for found, scene in zip(detect(scenes, together=True), scenes, strict=True):
        np.testing.assert_allclose(found.scores, graph.predict(scene)[0].scores, rtol=1e-6, atol=1e-6)


def test_a_saved_detector_predicts_the_same(scenes: list[Path], tmp_path: Path) -> None:
    (found,) = detect(scenes[0], save=tmp_path / "detector.zip")
    again = Graph.load_from_file(tmp_path / "detector.zip").predict(scenes[0])
    np.testing.assert_array_equal(again[0].scores, found.scores)
    with pytest.raises(ConfigError, match="--together"):
        detect(scenes, save=tmp_path / "other.zip")


def test_an_extent_in_metres_is_that_of_the_grid(scenes: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(extent: int | None, *args: object, **kwargs: object) -> Graph:
        seen.append(extent)
        return unsupervised(extent, *args, **kwargs)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr("cuvis_ai.scene_detection.unsupervised", watched)
    for extent in ("18m", "20m", 5):
        detect(scenes[0], extent=extent)
    # Pixels of 2 m: 9, and 10, to the nearest odd number.
    assert seen[0] == 9
    assert seen[1] in (9, 11)
    assert seen[2] == 5
    for wrong in ("20", "xm", "-3m"):
        with pytest.raises(ConfigError, match="metres"):
            detect(scenes[0], extent=wrong)


def test_a_scene_that_cannot_be_read_does_not_end_the_others(scenes: list[Path], tmp_path: Path) -> None:
    scenes[0].with_suffix(".dat").unlink(missing_ok=True)
    for data in scenes[0].parent.glob("a.*"):
        if data.suffix != ".hdr":
            data.unlink()
    with pytest.raises(GraphError, match="1 of 2 scenes failed"):
        detect(scenes, tmp_path / "maps")
    assert (tmp_path / "maps" / "b_scores.hdr").exists()


def test_the_command_writes_maps_mask_detections_and_picture(scenes: list[Path], tmp_path: Path) -> None:
    given = ["detect", *map(str, scenes), "--out", str(tmp_path / "maps")]
    assert main(given) == 0
    written = {path.name for path in (tmp_path / "maps").iterdir()}
    for name in ("a", "b"):
        expected = ("scores.hdr", "scores.img", "detected.hdr", "detections.geojson", "detections.csv")
        assert {f"{name}_{ending}" for ending in expected} <= written
        assert f"{name}.png" in written
    assert main(given) == 1
    assert main([*given, "--resume"]) == 0
    # Another detector is not taken for the one that made these maps.
    assert main([*given, "--resume", "--extent", "5"]) == 1
