"""`cuvis-ai predict`: a scene with everything that real ones have becomes a map that rasterio places."""

import json
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.cli.command_line import main
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.spatial.smoothing import LogSmooth
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.threshold import Threshold
from tests.data.files import write_envi

CUBE = np.random.default_rng(0).integers(1000, 1100, (30, 20, 5)).astype("i2")
CUBE[20, 10] = 1900
CUBE[:4] = -9999
CUBE[:, :, 2] = 30000


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "scenes").mkdir()
    write_envi(
        tmp_path / "scenes" / "a.hdr",
        CUBE,
        data_ignore_value="-9999",
        bbl="{1,1,0,1,1}",
        map_info="{UTM, 1, 1, 500000, 4600000, 2, 2, 33, North, WGS-84, units=Meters}",
    )
    graph = Graph("rx")
    rx = graph.add_node(RXGlobal())
    graph.add_leaf_node(Threshold("value", 100.0), rx)
    once = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
    graph.train(SceneTiles(tmp_path / "scenes" / "a.hdr", tile=20, fractions=(1, 0, 0)), once)
    graph.save_to_file(tmp_path / "graph.zip")
    return tmp_path


def expected() -> np.ndarray:
    """Squared Mahalanobis distances of the good bands, by the definition."""
    pixels = CUBE[:, :, [0, 1, 3, 4]].astype(np.float64)
    known = pixels[4:].reshape(-1, 4)
    centred = pixels - known.mean(0)
    scores = np.einsum("hwi,ij,hwj->hw", centred, np.linalg.inv(np.cov(known, rowvar=False)), centred)
    scores[:4] = np.nan
    return scores


def test_an_envi_scene_becomes_a_geotiff_in_its_place(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rasterio = pytest.importorskip("rasterio")
    given = [str(work / "graph.zip"), str(work / "scenes"), "--out", str(work / "maps")]

    assert main(["predict", *given, "--format", "geotiff", "--mask", "--detections"]) == 0

    with rasterio.open(work / "maps" / "a_scores.tif") as file:
        np.testing.assert_allclose(file.read(1), expected(), rtol=1e-4)
        assert file.crs.to_epsg() == 32633
        assert tuple(file.transform)[:6] == (2, 0, 500000, 0, -2, 4600000)
        assert np.isnan(file.nodata)
    with rasterio.open(work / "maps" / "a_detected.tif") as file:
        np.testing.assert_array_equal(file.read(1)[4:] == 1, expected()[4:] > 100)
        assert (file.read(1)[:4] == file.nodata).all()
    features = json.loads((work / "maps" / "a_detections.geojson").read_text())["features"]
    assert features[0]["geometry"]["coordinates"] == [500021.0, 4599959.0]
    assert (work / "maps" / "a.png").stat().st_size > 10_000


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rasterio's own
def test_maps_of_tiles_are_merged_without_seams(work: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    merge = pytest.importorskip("rasterio.merge").merge
    graph = Graph.load_from_file(work / "graph.zip")
    graph.add_node(LogSmooth(), parent=graph.topology.end())
    graph.save_to_file(work / "smooth.zip")
    (work / "tiles").mkdir()
    grid = rasterio.Affine(2, 0, 500000, 0, -2, 4600000)
    bands = CUBE[:, :, [0, 1, 3, 4]]
    for name, top, bottom in (("whole", 0, 30), ("tiles/a", 0, 13), ("tiles/b", 13, 30)):
        with rasterio.open(
            work / f"{name}.tif", "w", driver="GTiff", height=bottom - top, width=20, count=4, dtype="int16",
            nodata=-9999, crs="EPSG:32633", transform=grid @ rasterio.Affine.translation(0, top),
        ) as file:  # fmt: skip
            file.write(bands[top:bottom].transpose(2, 0, 1))

    for source, out in (("tiles", "maps"), ("whole.tif", "map")):
        given = [str(work / "smooth.zip"), str(work / source), "--out", str(work / out), "--no-picture"]
        assert main(["predict", *given, "--format", "geotiff"]) == 0

    merged, transform = merge([work / "maps" / "a_scores.tif", work / "maps" / "b_scores.tif"])
    assert transform == grid
    with rasterio.open(work / "map" / "whole_scores.tif") as file:
        np.testing.assert_array_equal(merged, file.read())


def test_a_scene_that_fails_gives_the_exit_status(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "scenes" / "b.npy").write_bytes(b"\x93NUMPY")
    given = [str(work / "graph.zip"), str(work / "scenes"), "--out", str(work / "maps"), "--no-picture"]
    assert main(["predict", *given]) == 1
    assert "1 of 2 scenes failed" in capsys.readouterr().err
    assert (work / "maps" / "a_scores.hdr").exists()
    assert main(["predict", *given]) == 1
    assert "--resume" in capsys.readouterr().err
    (work / "scenes" / "b.npy").unlink()
    assert main(["predict", *given, "--resume"]) == 0


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert "cuvis-ai predict graph.zip flight/*.hdr --out maps" in capsys.readouterr().out
