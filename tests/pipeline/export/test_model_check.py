from pathlib import Path

import numpy as np
import pytest
import torch

from cuvis_ai.errors import GraphError
from cuvis_ai.node.base import Node
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from tests.pipeline.export.models import (
    chain,
)


class Drawing(Node):
    """One that depends on chance."""

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        return cube + torch.tensor(np.random.default_rng().random())


def test_a_model_that_computes_otherwise_than_the_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    with pytest.raises(GraphError, match=r"`n1`: expected the graph's output within 0\.0001"):
        chain(MinMaxNormalizer(), Drawing()).export_onnx(path)
    assert path.read_bytes() == b"old"
