from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.spatial.smoothing import LogSmooth
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, graph_of, scoring
from tests.pipeline.export.models import (
    CUBE,
    assert_alike,
    by_openvino,
    by_runtime,
    fed,
    trained,
)


@pytest.mark.parametrize("input", ["float32", "uint16", "int16"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("pixels", ["alone", "windows"])
def test_layouts_number_types_and_no_data(input: Any, layout: Any, pixels: str, tmp_path: Path) -> None:
    counts = (1000 + 50 * random_cubes(3, h=12, w=9)).round()
    nodes = [RXGlobal(), LogSmooth()] if pixels == "windows" else [RXGlobal()]
    graph = graph_of(*nodes)
    graph.train(Batches(as_batches(counts)), STATISTICS_ONLY)
    cube = counts.clone()
    cube[0, :, 2, 3] = 0  # in all bands: no data
    cube[1, 2, 4, 5] = 0  # in one band: measured
    graph.export_onnx(tmp_path / "model.onnx", input=input, layout=layout, no_data=0)
    valid = torch.ones(3, 12, 9, dtype=torch.bool)
    valid[0, 2, 3] = False
    expected = graph(cube, valid=valid).output.numpy()
    assert np.isnan(expected).sum() == 1
    feed = fed(tmp_path / "model.onnx", cube, torch.ones_like(valid))
    feed["cube"] = (cube.numpy() if layout == "nchw" else cube.permute(0, 2, 3, 1).numpy()).astype(input)
    for run in (by_runtime, by_openvino):
        [got] = run(tmp_path / "model.onnx", feed).values()
        assert_alike(got if layout == "nchw" else np.moveaxis(got, 3, 1), expected)


def test_a_no_data_value_other_than_zero_counts_in_any_band(tmp_path: Path) -> None:
    graph = trained(scoring())
    graph.export_onnx(tmp_path / "model.onnx", no_data=-9999, outputs=["head", "norm"])
    cube = CUBE.clone()
    cube[0, 3, 2, 1] = -9999
    got = by_runtime(tmp_path / "model.onnx", {"cube": cube.numpy()})
    assert {name: int(np.isnan(one).sum()) for name, one in got.items()} == {"head": 1, "norm": 7}
