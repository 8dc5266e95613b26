"""The plug-in as its user meets it: installed, named in a configuration, allowed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.format_search import allow_formats
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.build import build
from cuvis_ai.pipeline.graph import Graph

PACKAGE = "brightness_plugin"


@pytest.fixture
def config(tmp_path: Path) -> dict[str, object]:
    """Return a run on three cubes whose greatest value is 8."""
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.linspace(0, 8, 4 * 5 * 3, dtype="f4").reshape(4, 5, 3))
    return {
        "nodes": {"brightness": {"_target_": "brightness", "scale": 2.0}},
        "monitoring": {"printed": {"_target_": "printed"}},
        "datamodule": {"_target_": "cuvis_ai.data.cube_folder.CubeFolder", "data_dir": str(tmp_path)},
        "training": {"trainer": {"max_epochs": 0}},
    }


def test_node_and_monitor_are_usable_by_name_once_allowed(config: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"allow=\['{PACKAGE}'\]"):
        build(config)
    built = build(config, allow=[PACKAGE])
    built.graph.train(datamodule=built.datamodule, training_config=built.training)
    cube = torch.full((1, 3, 2, 2), 8.0)
    assert built.graph(cube).output.eq(2.0).all()
    built.graph.save_to_file(tmp_path / "graph.zip")
    loaded = Graph.load_from_file(tmp_path / "graph.zip", allow=[PACKAGE])
    assert torch.equal(loaded(cube).output, built.graph(cube).output)


def test_format_is_read_once_allowed(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    (tmp_path / "image.ppm").write_bytes(b"P6\n5 4\n255\n" + pixels.tobytes())
    allow_formats([PACKAGE])
    assert np.array_equal(read_cube(tmp_path / "image.ppm").values[:], pixels)
