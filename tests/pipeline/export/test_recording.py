from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cuvis_ai.pipeline.export.recording import NotRecordableError
from tests.pipeline.export.test_aten_operators import translated

TRANSPOSED = torch.ones(4, 2, 3, 3)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (lambda x: x if float(x.sum()) > 0 else -x, "."),
        (lambda x: x[:, :, :3], "depends on the number of pixels"),
        (lambda x: x / x.shape[3], "depends on the number of pixels"),
        (lambda x: x.cumsum(2), "the operator cumsum has no translation"),
        (lambda x: torch.linalg.vector_norm(x, ord=1, dim=1, keepdim=True), "another order than 2"),
        (lambda x: functional.conv_transpose2d(x, TRANSPOSED), "transposed convolution"),
    ],
    ids=["branch", "first-rows", "size", "operator", "norm", "transposed"],
)
def test_what_is_not_the_same_for_all_values_and_sizes_is_not_recorded(
    formula: Callable[[Tensor], Tensor], message: str, tmp_path: Path
) -> None:
    with pytest.raises(NotRecordableError, match=message):
        translated(formula, tmp_path / "model.onnx")
