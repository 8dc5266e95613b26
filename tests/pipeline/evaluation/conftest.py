"""Two .mat scenes with their masks inside, one without anomalies, and a fitted detector with a threshold."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.threshold import Threshold

STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
THRESHOLD = 12.0


def scene(seed: int, *, anomalies: bool) -> tuple[np.ndarray, np.ndarray]:
    """A cube (30, 25, 4) and its mask, of anomalies that normal pixels overlap with."""
    random = np.random.default_rng(seed)
    mask = np.zeros((30, 25), np.uint8)
    if anomalies:
        mask[3:6, 4:8] = mask[20, 20] = mask[12:14, 1] = 1
    cube = random.normal(size=(30, 25, 4)) + 1.5 * mask[..., None]
    return cube.astype(np.float32), mask


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A folder of a.mat, b.mat and normal.mat."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for seed, name in enumerate(("a", "b", "normal")):
        cube, mask = scene(seed, anomalies=name != "normal")
        savemat(folder / f"{name}.mat", {"data": cube, "map": mask})
    return folder


@pytest.fixture
def graph(scenes: Path) -> Graph:
    graph = Graph("rx")
    rx = graph.add_node(RXGlobal())
    graph.add_leaf_node(Threshold("value", THRESHOLD), rx)
    graph.train(SceneList(sorted(scenes.iterdir())), STATISTICS_ONLY)
    return graph
