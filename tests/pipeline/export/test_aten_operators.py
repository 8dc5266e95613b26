"""Formulas in torch, recorded and translated, against torch itself: on sizes that were not recorded."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cuvis_ai.pipeline.export.aten_operators import TRANSLATORS
from cuvis_ai.pipeline.export.onnx_graph import OnnxGraph, Port
from cuvis_ai.pipeline.export.recording import record
from tests.pipeline.export.models import by_runtime

WEIGHT = torch.linspace(-1, 1, 2 * 4 * 3 * 3).reshape(2, 4, 3, 3)

FORMULAS: dict[str, Callable[[Tensor], Tensor]] = {
    "add, sub with a factor": lambda x: torch.sub(torch.add(x, 1.5 * x, alpha=3), 1, alpha=2),
    "mul, div, neg, reciprocal": lambda x: -(x * 2 / (x + 5)).reciprocal(),
    "abs, sqrt, rsqrt": lambda x: (x.abs() + 1).sqrt() * (x.abs() + 2).rsqrt(),
    "exp, log": lambda x: x.exp().add(1).log(),
    "sigmoid, tanh, relu": lambda x: x.sigmoid() + x.tanh() * x.relu(),
    "pow": lambda x: x.square() + x.pow(3),
    "clamp": lambda x: x.clamp(-0.5, 0.5) + x.clamp(min=0.1) + x.clamp(max=0.2),
    "comparisons": lambda x: sum(
        (one.to(torch.float32) for one in (x > 0, x >= 0, x < 0.1, x <= x * 2, x == x, x != 0.5)), 0 * x
    ),
    "logic": lambda x: torch.where((x > 0) & ~(x > 1) | (x < -1), x, 0.0),
    "masked_fill, maximum, minimum": lambda x: torch.maximum(x.masked_fill(x > 0, 7.0), torch.minimum(x, -x)),
    "sum, mean over channels": lambda x: x.sum(1, keepdim=True) + x.mean(1)[:, None],
    "amax, amin over the image": lambda x: x - x.amin((2, 3), keepdim=True) / x.amax((2, 3), keepdim=True),
    "norm": lambda x: torch.linalg.vector_norm(x, dim=1, keepdim=True),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=-1) + torch.addcmul(x, x, x, value=0.5),
    "slices, select": lambda x: x[:, -1:, 1:, :-2] + x[:, 1][:, None, 1:, 2:] + x[:, :2, :-1, 1:-1].sum(1)[:, None],
    "pad, cat, stack, unbind": lambda x: torch.cat(
        [functional.pad(x, (1, 2, 3, 4), value=9.0), functional.pad(torch.stack([*x.unbind(1)], 1), (1, 2, 3, 4))], 1
    ),
    "permute, squeeze": lambda x: x.permute(0, 3, 2, 1).unsqueeze(1).squeeze(1).permute(0, 3, 2, 1),
    "nan_to_num": lambda x: (x / (x > 0).float()).nan_to_num(0.5, 3.0, -3.0),
    "float64 within": lambda x: (x.double() * 3 + x).float(),
    "in place": lambda x: x.clone().add_(x).mul_(2),
    "convolution": lambda x: functional.conv2d(x, WEIGHT, padding="same"),
    "means of windows": lambda x: functional.avg_pool2d(x, 3, 1, 1)
    + functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    + functional.avg_pool2d(x, 3, 1, 1, divisor_override=1),
}  # fmt: skip


def translated(formula: Callable[[Tensor], Tensor], path: Path) -> None:
    graph = OnnxGraph()
    graph.name(record(formula, 4, ["cube"], graph), "mapped")
    shape = ("b", "k", "h", "w")
    cube, mapped = Port("cube", np.dtype("f4"), shape), Port("mapped", np.dtype("f4"), shape)
    path.write_bytes(graph.model("formula", [cube], [mapped], {}).SerializeToString())


@pytest.mark.parametrize("name", FORMULAS)
def test_translated_formula_gives_what_torch_does(name: str, tmp_path: Path) -> None:
    translated(FORMULAS[name], tmp_path / "model.onnx")
    for size in ((1, 4, 7, 5), (2, 4, 4, 13)):
        cube = torch.randn(size, generator=torch.Generator().manual_seed(1))
        [got] = by_runtime(tmp_path / "model.onnx", {"cube": cube.numpy()}).values()
        np.testing.assert_allclose(got, FORMULAS[name](cube).numpy(), rtol=1e-5, atol=1e-6)


def test_names_are_those_of_torch() -> None:
    assert not [name for name in TRANSLATORS if not hasattr(torch.ops.aten, name)]
