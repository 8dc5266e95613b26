"""Exported models predict scenes as their graphs do."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.errors import ArchiveError, ConfigError, GraphError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction.model_checksum import with_checksum
from cuvis_ai.pipeline.prediction.model_prediction import predict_by_model
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from cuvis_ai.pipeline.scene_masks import MaskOptions
from cuvis_ai.training.threshold import Threshold
from tests.data.files import write_envi
from tests.pipeline.prediction.conftest import BORDER, FIELDS, STATISTICS_ONLY, values

onnx = pytest.importorskip("onnx")


@pytest.fixture
def model(graph: Graph, tmp_path: Path) -> Path:
    graph.add_leaf_node(Threshold("value", 2.0), graph.topology.end())
    graph.export_onnx(tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("input", ["float32", "int16"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_strips_of_a_scene_are_scored_as_by_the_graph(
    graph: Graph, scene: Path, short_strips: None, tmp_path: Path, input: Any, layout: Any
) -> None:
    graph.export_onnx(tmp_path / "model.onnx", input=input, layout=layout)
    (found,) = predict_by_model(tmp_path / "model.onnx", scene, None, PredictionSettings())
    (expected,) = graph.predict(scene)
    assert np.isnan(found.scores[:BORDER]).all()
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)


def test_tiles_see_past_their_borders(model: Path, scene: Path, tmp_path: Path) -> None:
    for name, left in (("a", 0), ("b", 11)):
        placed = FIELDS | {"map_info": FIELDS["map_info"].replace("500000", str(500000 + 2 * left))}
        (tmp_path / "tiles").mkdir(exist_ok=True)
        write_envi(
            tmp_path / "tiles" / f"{name}.hdr", values()[:, left : 11 if name == "a" else None], **placed
        )
    (whole,) = predict_by_model(model, scene, None, PredictionSettings())
    tiles = predict_by_model(model, tmp_path / "tiles", None, PredictionSettings())
    together = np.concatenate([tile.scores[...] for tile in tiles], axis=1)
    np.testing.assert_allclose(together, whole.scores, rtol=1e-5, atol=1e-5)


def test_maps_masks_and_detections_are_those_of_the_graph(
    graph: Graph, model: Path, scene: Path, tmp_path: Path
) -> None:
    settings = PredictionSettings(mask=True, detections=True, picture=False)
    (found,) = predict_by_model(model, scene, tmp_path / "by_model", settings)
    (expected,) = graph.predict(scene, tmp_path / "by_graph", mask=True, detections=True, picture=False)
    assert [path.name for path in found.files] == [path.name for path in expected.files]
    assert found.threshold == 2.0
    masks = [read_cube(one.files[1]).values[:] for one in (found, expected)]
    np.testing.assert_array_equal(*masks)
    assert set(np.unique(masks[0])) == {0, 1, 255}
    assert len(found.detections or ()) == len(expected.detections or ()) > 0
    with pytest.raises(FileExistsError, match="--resume"):
        predict_by_model(model, scene, tmp_path / "by_model", settings)


def test_bands_are_those_of_training_or_are_matched(graph: Graph, model: Path, tmp_path: Path) -> None:
    other = FIELDS | {"wavelength": "{450,550,650,750,850}"}
    write_envi(tmp_path / "other.hdr", values(), **other)
    with pytest.raises(GraphError, match="expected the 4 bands of training"):
        predict_by_model(model, tmp_path / "other.hdr", None, PredictionSettings())
    near = FIELDS | {"wavelength": "{800,700,600,500,400}", "bbl": "{1,1,0,1,1}"}
    write_envi(tmp_path / "near.hdr", values()[:, :, ::-1].copy(), **near)
    (found,) = predict_by_model(model, tmp_path / "near.hdr", None, PredictionSettings(match_bands=True))
    (expected,) = graph.predict(tmp_path / "near.hdr", match_bands=True)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)


def test_numbers_that_the_model_does_not_take_are_refused(graph: Graph, tmp_path: Path) -> None:
    graph.export_onnx(tmp_path / "model.onnx", input="int16")
    write_envi(tmp_path / "half.hdr", values().astype("f4") + 0.5, **FIELDS)
    settings = PredictionSettings(reading=ReadingOptions(no_data=-9998.5))
    with pytest.raises(GraphError, match="expected numbers that int16 holds"):
        predict_by_model(tmp_path / "model.onnx", tmp_path / "half.hdr", None, settings)


def test_thresholds_are_the_models_the_users_or_those_of_a_rate(scene: Path, tmp_path: Path) -> None:
    graph = Graph("calibrated")
    rx = graph.add_node(RXGlobal())
    graph.add_node(TailCalibrator(), rx)
    graph.train(SceneTiles(scene, tile=20, fractions=(1, 0, 0)), STATISTICS_ONLY)
    graph.export_onnx(tmp_path / "model.onnx")
    for words in ({}, {"threshold": 3.0}, {"false_alarm_rate": 1e-2}):
        settings = PredictionSettings(mask=True, **words)  # type: ignore[arg-type]
        (found,) = predict_by_model(tmp_path / "model.onnx", scene, None, settings)
        (expected,) = graph.predict(scene, mask=True, **words)  # type: ignore[misc]
        assert found.threshold == pytest.approx(expected.threshold)
        np.testing.assert_array_equal(found.mask, expected.mask)


def test_what_a_model_cannot_do_is_said(graph: Graph, scene: Path, tmp_path: Path) -> None:
    graph.export_onnx(tmp_path / "model.onnx")
    graph.export_onnx(tmp_path / "two.onnx", outputs=["rx_global", "log_smooth"])
    (tmp_path / "text.onnx").write_text("no model")
    foreign = onnx.load(tmp_path / "model.onnx")
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    (tmp_path / "cut.onnx").write_bytes((tmp_path / "model.onnx").read_bytes()[:-1])
    plain = PredictionSettings()
    for name, settings, device, kind, message in (
        ("model", PredictionSettings(mask=True), "cpu", GraphError, "expected a threshold to be stored"),
        ("model", PredictionSettings(false_alarm_rate=0.01), "cpu", GraphError, "calibrated tail"),
        ("model", PredictionSettings(refit=True), "cpu", ConfigError, "need no graph"),
        ("model", PredictionSettings(truth=MaskOptions(masks="m")), "cpu", ConfigError, "need no graph"),
        ("model", plain, "mps", ConfigError, "device: expected one that ONNX Runtime has here, got 'mps'"),
        ("two", plain, "cpu", GraphError, "expected one output of scores, got rx_global, log_smooth"),
        (
            "text",
            plain,
            "cpu",
            ArchiveError,
            "expected a model as `graph.export_onnx` wrote it, got another file",
        ),
        ("foreign", plain, "cpu", ArchiveError, "expected a model as `graph.export_onnx` wrote it"),
        ("cut", plain, "cpu", ArchiveError, "changed or cut short since. Copy it again"),
    ):
        with pytest.raises(kind, match=re.escape(message)):
            predict_by_model(tmp_path / f"{name}.onnx", scene, None, settings, device=device)


def test_a_model_of_a_later_format_is_refused(model: Path, scene: Path) -> None:
    later = onnx.load(model)
    [form] = [one for one in later.metadata_props if one.key == "format"]
    form.value = "2"
    model.write_bytes(with_checksum(later.SerializeToString()))
    with pytest.raises(ArchiveError, match="expected a model of format 1, got 2. Upgrade with `pip"):
        predict_by_model(model, scene, None, PredictionSettings())
