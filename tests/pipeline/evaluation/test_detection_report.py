"""The page of `detect`: what is on it is what was written, as text, and it stays small."""

import csv
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.pipeline.evaluation import detection_report
from cuvis_ai.pipeline.evaluation.detection_report import write_detection_report
from cuvis_ai.pipeline.graph import Graph
from tests.pipeline.evaluation.conftest import THRESHOLD
from tests.training.monitors.report_page import Tables


def written(graph: Graph, scenes: Path, out: Path, *, masks: bool = True) -> str:
    graph.predict(scenes, out, mask=True, detections=True)
    evaluation = graph.evaluate_scenes(scenes, mask_key="map") if masks else None
    return write_detection_report(sorted(scenes.iterdir()), out, evaluation, 0.01).read_text()


def test_every_scene_has_its_picture_its_detections_and_its_facts(
    graph: Graph, scenes: Path, tmp_path: Path
) -> None:
    tables = Tables(written(graph, scenes, tmp_path / "out"))
    assert tables.titles == ["Detections in 3 scenes", "Against the masks", "Scenes", "a", "b", "normal"]
    with (tmp_path / "out" / "a_detections.csv").open() as file:
        first = next(csv.DictReader(file))
    row = next(row for row in tables.rows if row[0] == "1" and len(row) == 5)  # no map: neither x nor y
    assert float(row[1]) == pytest.approx(float(first["peak"]), abs=1e-4)
    assert [row[2], float(row[3])] == [first["pixels"], pytest.approx(float(first["row"]), abs=1e-4)]
    assert tables.rows.count(["size", "30 rows, 25 columns, 4 bands"]) == 3
    assert tables.fetched == [], "the page is small enough to hold all pictures"
    assert len(tables.images) == 3 + 2


def test_measures_are_those_of_the_evaluation_and_missing_without_masks(
    graph: Graph, scenes: Path, tmp_path: Path
) -> None:
    tables = Tables(written(graph, scenes, tmp_path / "with"))
    pooled = graph.evaluate_scenes(scenes, mask_key="map").pooled
    assert next(row for row in tables.rows if row[0] == "AUROC") == ["AUROC", f"{pooled.values['auroc']:.4f}"]
    assert ["a", f"{graph.evaluate_scenes(scenes, mask_key='map').scenes[0].values['auroc']:.4f}"] in [
        [row[0], row[3]] for row in tables.rows if len(row) == 5
    ]
    without = written(graph, scenes, tmp_path / "without", masks=False)
    assert "Against the masks" not in without
    assert "AUROC" not in without
    assert f"above {THRESHOLD:.4g}: the detector expects a share of 0.01" in without


def test_pictures_of_many_scenes_are_loaded_from_beside_the_page(
    graph: Graph, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection_report, "_PICTURES", 0)
    tables = Tables(written(graph, scenes, tmp_path / "out"))
    sources = [image["src"] for image in tables.images]
    assert sources == ["roc.png", "precision_recall.png", "a.png", "b.png", "normal.png"]
    assert all(image["loading"] == "lazy" for image in tables.images)


def test_a_scene_that_is_not_finished_is_left_out(graph: Graph, scenes: Path, tmp_path: Path) -> None:
    graph.predict(scenes / "a.mat", tmp_path / "out", detections=True)
    page = write_detection_report(sorted(scenes.iterdir()), tmp_path / "out", None, None).read_text()
    assert Tables(page).titles == ["Detections in a", "a"]


def test_a_name_is_text(graph: Graph, tmp_path: Path) -> None:
    name = "<script>x"
    np.save(tmp_path / f"{name}.npy", np.random.default_rng(0).normal(size=(20, 9, 4)).astype("f4"))
    graph.predict(tmp_path / f"{name}.npy", tmp_path / "out", detections=True)
    page = write_detection_report([tmp_path / f"{name}.npy"], tmp_path / "out", None, None).read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;x" in page
