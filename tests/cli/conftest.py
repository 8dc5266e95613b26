"""A configuration of one epoch, for the commands that run or show one."""

from pathlib import Path
from typing import Any

import pytest

from tests.lentils import write_lentils


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A configuration of one epoch on small cubes, whose files go to tmp_path / "out"."""
    write_lentils(tmp_path / "Lentils", height=12, width=10, bands=9)
    return {
        "nodes": {
            "normalizer": {"_target_": "cuvis_ai.normalization.normalization.MinMaxNormalizer"},
            "pca": {"_target_": "cuvis_ai.node.pca.TrainablePCA", "n_components": 3, "trainable": True},
        },
        "loss_leaves": {"orthogonality": {"_target_": "cuvis_ai.training.losses.OrthogonalityLoss"}},
        "metric_leaves": {"variance": {"_target_": "cuvis_ai.training.metrics.ExplainedVarianceMetric"}},
        "monitoring": {
            "dummy": {
                "_target_": "cuvis_ai.training.monitors.DummyMonitor",
                "output_dir": str(tmp_path / "out" / "artifacts"),
            }
        },
        "datamodule": {
            "_target_": "cuvis_ai.data.lentils_anomaly.LentilsAnomaly",
            "data_dir": str(tmp_path / "Lentils"),
        },
        "training": {"trainer": {"max_epochs": 1, "enable_progress_bar": False}},
        "output_dir": str(tmp_path / "out"),
    }
