from pathlib import Path

import pytest
import torch

from cuvis_ai.node.base import Node
from cuvis_ai.node.torch import TorchNode
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from tests.pipeline.export.models import (
    CUBE,
    VALID,
    assert_agrees,
    chain,
)


class Reshaping(Node):
    """One that depends on the number of pixels in its operations, not in what they mean."""

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        b, c, h, w = cube.shape
        return cube.reshape(b, c, h * w).mul(2.0).reshape(b, c, h, w)


@pytest.mark.slow
@pytest.mark.parametrize(
    "node",
    [
        Reshaping(),
        TorchNode(torch.nn.Sequential(torch.nn.BatchNorm2d(7), torch.nn.GELU()), {}),
    ],
    ids=["reshape", "batch-norm"],
)
def test_what_cannot_be_recorded_is_traced_by_torch(node: Node, tmp_path: Path) -> None:
    graph = chain(MinMaxNormalizer(), node)
    graph.export_onnx(tmp_path / "model.onnx")
    graph.eval()
    assert_agrees(tmp_path / "model.onnx", graph, CUBE, VALID)
    assert_agrees(tmp_path / "model.onnx", graph, CUBE[:1, :, :3, :2], VALID[:1, :3, :2])
