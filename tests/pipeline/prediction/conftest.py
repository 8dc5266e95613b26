"""A georeferenced scene with a border without data and a bad band, and a detector fitted to it."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction import strip_scorer
from cuvis_ai.spatial.smoothing import LogSmooth
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from tests.data.files import write_envi

STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
FIELDS = {
    "data_ignore_value": "-9999",
    "bbl": "{1,1,0,1,1}",
    "wavelength": "{400,500,600,700,800}",
    "wavelength_units": "nm",
    "map_info": "{UTM, 1, 1, 500000, 4600000, 2, 2, 33, North, WGS-84, units=Meters}",
}
BORDER = 3


def values(seed: int = 0) -> np.ndarray:
    cube = np.random.default_rng(seed).integers(1000, 1100, (40, 24, 5)).astype("i2")
    cube[20:22, 10:13] = 1900
    cube[:BORDER] = -9999
    cube[:, :, 2] = 30000
    return cube


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    folder = tmp_path / "scenes"
    folder.mkdir()
    write_envi(folder / "a.hdr", values(), **FIELDS)
    return folder / "a.hdr"


@pytest.fixture
def graph(scene: Path) -> Graph:
    """PCA → RX → a node that looks two pixels far."""
    graph = Graph("detector")
    pca = graph.add_node(TrainablePCA(3))
    rx = graph.add_node(RXGlobal(), parent=pca)
    graph.add_node(LogSmooth(), parent=rx)
    graph.train(SceneTiles(scene, tile=20, fractions=(1, 0, 0)), STATISTICS_ONLY)
    return graph


@pytest.fixture
def short_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of eight rows of the scene."""
    monkeypatch.setattr(strip_scorer, "STRIP_BYTES", 4 * 24 * 4 * 12)
