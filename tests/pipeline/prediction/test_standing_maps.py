"""A folder of maps is tried before anything is read, and what stands there is looked at once."""

from pathlib import Path
from typing import Any

import pytest

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from cuvis_ai.pipeline.prediction.standing_maps import prepare_folder
from cuvis_ai.scene_detection import detect
from tests.data.files import write_envi
from tests.pipeline.prediction.conftest import FIELDS, values
from tests.pipeline.prediction.test_predictor import contents

SCENES = [Path("scenes/a.hdr"), Path("scenes/b.hdr")]


@pytest.mark.parametrize("options", [{"resume": True}, {"shard": (2, 3)}])
def test_what_stands_is_gone_on_from(tmp_path: Path, options: dict[str, Any]) -> None:
    for name in ("a_prediction.json", ".b.journal", "c_prediction.json"):
        (tmp_path / name).write_text("{}")
    standing = prepare_folder(tmp_path, SCENES, PredictionSettings(**options))
    assert standing == {
        SCENES[0]: [tmp_path / "a_prediction.json"],
        SCENES[1]: [tmp_path / ".b.journal"],
    }


@pytest.mark.parametrize(("name", "what"), [("b_prediction.json", "finished"), (".b.journal", "unfinished")])
def test_what_stands_is_refused_or_replaced(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(FileExistsError, match=f"maps of b, got {what} ones"):
        prepare_folder(tmp_path, SCENES, PredictionSettings())
    assert prepare_folder(tmp_path, SCENES, PredictionSettings(overwrite=True)) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["envi", "geotiff", "npy", "zarr"])
def test_maps_of_another_format_are_replaced_too(
    graph: Graph, scene: Path, tmp_path: Path, format: str
) -> None:
    own = tmp_path / "maps" / "a_notes.txt"
    graph.predict(scene, tmp_path / "maps", format=format, threshold=4.0, mask=True, detections=True)
    own.write_text("mine")
    then: dict[str, Any] = {"format": "npy" if format == "envi" else "envi", "picture": False}
    graph.predict(scene, tmp_path / "maps", **then, overwrite=True)
    own.unlink()
    graph.predict(scene, tmp_path / "once", **then)
    assert contents(tmp_path / "maps") == contents(tmp_path / "once")


def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(
    graph: Graph, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")

    def fitted(*_: Any) -> None:
        raise AssertionError("the scene is fitted")

    monkeypatch.setattr("cuvis_ai.scene_detection._fitted", fitted)
    message = "expected a folder that can be written to"
    for place in (tmp_path / "file", tmp_path / "file" / "maps"):
        with pytest.raises(ConfigError, match=message):
            graph.predict(scene, place)
        with pytest.raises(ConfigError, match=message):
            detect(scene, place)
        with pytest.raises(ConfigError, match=message):
            detect(scene, tmp_path / "maps", save=place / "graph.zip")


def test_a_name_that_is_too_long_for_its_maps_fails_alone(graph: Graph, scene: Path, tmp_path: Path) -> None:
    write_envi(scene.with_name(f"{'b' * 240}.hdr"), values(1), **FIELDS)
    with pytest.raises(GraphError, match=r"1 of 2 scenes failed(.|\n)*bbb.hdr: .*too long"):
        graph.predict(scene.parent, tmp_path / "maps")
    assert (tmp_path / "maps" / "a_scores.hdr").exists()
