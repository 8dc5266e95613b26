"""A GeoTIFF in the form of EnMAP's tiles: 224 bands, six of them without data and flagged, trains as it is."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from sklearn.metrics import roc_auc_score

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.metrics import AnomalyDetectionMetrics

NO_DATA = -32768
EMPTY = (126, 127, 128, 129, 130, 131)
SIZE = 128
MASK = np.zeros((SIZE, SIZE), bool)
MASK[10:13, 30:33] = MASK[100:102, 85:89] = True


def tile(path: Path, *, flagged: bool) -> np.ndarray:
    """Write reflectance · 10000 with a border without data; return the good bands (h, w, c)."""
    generator = np.random.default_rng(0)
    materials = np.cumsum(generator.normal(size=(6, 224)), axis=1) * 60 + 3000
    shares = generator.dirichlet(np.ones(6), (SIZE, SIZE))
    values = shares @ materials + generator.normal(0, 10, (SIZE, SIZE, 224))
    values[MASK] += 60 * np.sin(np.arange(224) / 3)
    stored = values.round().astype("i2")
    stored[:, :, EMPTY] = NO_DATA
    stored[-2:] = NO_DATA
    profile = {
        "driver": "GTiff", "height": SIZE, "width": SIZE, "count": 224, "dtype": "int16", "nodata": NO_DATA,
        "crs": "EPSG:32632", "transform": rasterio.Affine(30, 0, 6e5, 0, -30, 5e6), "interleave": "band",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(stored.transpose(2, 0, 1))
        for band in range(224):
            tags = {"wavelength": f"{418.4 + 9.1 * band:.3f}", "wavelength_units": "Nanometers"}
            if flagged:
                tags["bbl"] = str(int(band not in EMPTY))
            file.update_tags(band + 1, **tags)
    return np.delete(stored, EMPTY, axis=2).astype(np.float64)


@pytest.mark.parametrize("flagged", [True, False], ids=["flagged", "found empty"])
def test_tile_trains_and_is_scored_without_arguments(tmp_path: Path, flagged: bool) -> None:
    good = tile(tmp_path / "tile.tif", flagged=flagged)
    graph = Graph("enmap")
    normalized = graph.add_node(MinMaxNormalizer())
    rx = graph.add_node(RXGlobal(), parent=normalized)
    graph.add_leaf_node(AnomalyDetectionMetrics(), parent=rx)
    scene = SceneTiles(tmp_path / "tile.tif")
    config = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
    graph.train(scene, config)
    assert graph.bands.indices == tuple(band for band in range(224) if band not in EMPTY)
    assert graph.bands.wavelengths is not None
    assert graph.bands.wavelengths[126] == pytest.approx(418.4 + 9.1 * 132)

    scores = graph(tmp_path / "tile.tif").output[0, 0]
    trained = np.zeros((SIZE, SIZE), bool)
    for item in scene.find_items().train:
        assert item.window is not None
        trained[item.window.slices] = True
    trained[-2:] = False
    centred = good[:-2].reshape(-1, 218) - good[trained].mean(0)
    expected = (centred @ np.linalg.inv(np.cov(good[trained], rowvar=False)) * centred).sum(1)
    np.testing.assert_allclose(scores[:-2].flatten(), expected, rtol=1e-3)
    assert scores[-2:].isnan().all()

    values = graph.evaluate(tmp_path / "tile.tif", training_config=config, mask=MASK)
    auc = roc_auc_score(MASK[:-2].flatten(), expected)
    assert values["test/metric/anomaly_auroc"] == pytest.approx(auc, abs=1e-3)
    graph.save_to_file(tmp_path / "graph.zip")
    again = Graph.load_from_file(tmp_path / "graph.zip")(tmp_path / "tile.tif").output
    assert torch.equal(again.nan_to_num(-1), graph(tmp_path / "tile.tif").output.nan_to_num(-1))
