"""Every shipped configuration, trained on a real scene and exported: design.md, section 3, in two runtimes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from numpy.typing import NDArray
from omegaconf import OmegaConf

import cuvis_ai
from cuvis_ai.data.cube_batch import read_batch
from cuvis_ai.data.masks import read_mask
from cuvis_ai.pipeline.build import build
from cuvis_ai.pipeline.graph import Graph
from tests.cubes import Batches
from tests.graphs import settings
from tests.pipeline.export.models import by_openvino, by_runtime

CONFIGURATIONS = sorted(
    path.stem for path in (Path(cuvis_ai.__file__).parent / "conf").glob("*.yaml") if path.stem != "general"
)
SCENE = "abu-airport-4.mat"


def trained(name: str, scenes: Path, folder: Path) -> Graph:
    """Return a configuration's graph, after two epochs on the scene if it trains."""
    with initialize_config_module("cuvis_ai.conf", version_base="1.3"):
        config = compose(name, [f"output_dir={folder}"])
    plain: Any = OmegaConf.to_container(config, resolve=True)
    graph = build({**plain, "monitoring": {}, "visualization_leaves": {}}).graph
    batch = dict(read_batch(scenes / SCENE, key="data"))
    mask = torch.from_numpy(np.asarray(read_mask(scenes / SCENE, (100, 100), key="map")) > 0)[None]
    batch["mask"] = mask
    epochs = plain["training"]["trainer"]["max_epochs"]
    graph.train(Batches([batch], [batch]), settings(min(2, epochs)))
    return graph


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_exports_agree_with_the_graph_on_a_real_scene(name: str, scenes: Path, tmp_path: Path) -> None:
    graph = trained(name, scenes, tmp_path)
    cube = read_batch(scenes / SCENE, key="data")["cube"]
    valid = torch.ones(1, 100, 100, dtype=torch.bool)
    valid[0, 40:43, 50:60] = False
    for input, layout in (("uint16", "nhwc"), ("float32", "nchw")):
        path = tmp_path / f"{layout}.onnx"
        graph.export_onnx(path, input=input, layout=layout)
        given = cube if layout == "nchw" else cube.permute(0, 2, 3, 1)
        feed: dict[str, NDArray[Any]] = {"cube": np.ascontiguousarray(given.numpy()).astype(input)}
        windows = bool(graph.halo)
        if windows:
            feed["valid"] = valid.numpy()
        end = graph.topology.end()
        expected = graph(cube, valid=valid if windows else None).output.detach().double().numpy()
        for run in (by_runtime, by_openvino):
            got = run(path, feed)[end].astype(np.float64)
            got = got if layout == "nchw" else np.moveaxis(got, 3, 1)
            assert np.array_equal(np.isnan(got), np.isnan(expected))
            off = np.abs(got - expected)[np.isfinite(expected)]
            unit = np.nanstd(expected) if windows or graph.nodes[end].emits_logits else None
            relative = off / (unit or np.abs(expected[np.isfinite(expected)]).clip(1e-30))
            assert np.nanstd(expected) > 0
            assert np.median(relative) < 1e-5
            assert relative.max() < 1e-4
