"""Formulas on components against hand-made cases and the direct computation."""

import numpy as np
import pytest
import torch

from cuvis_ai.functional.component_quality import (
    explained_variance,
    orthogonality_error,
    orthogonality_penalty,
)


def orthonormal(k: int, c: int, seed: int = 0) -> torch.Tensor:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(c, k)))
    return torch.from_numpy(q.T.copy())


def shares(components: torch.Tensor, pixels: torch.Tensor) -> tuple[list[float], float]:
    covariance = torch.from_numpy(np.cov(pixels.numpy(), rowvar=False))
    result = explained_variance(components, components @ covariance @ components.T, covariance.trace())
    return result.per_component.tolist(), float(result.total)


def r2_of_decoding(components: torch.Tensor, pixels: torch.Tensor) -> float:
    centred = pixels - pixels.mean(0)
    decoded = centred @ components.T @ components
    return 1 - float((centred - decoded).square().sum() / centred.square().sum())


@pytest.mark.parametrize(
    "components",
    [
        orthonormal(3, 8),
        0.3 * orthonormal(3, 8),
        2 * orthonormal(3, 8),
        torch.randn(3, 8, dtype=torch.float64),
    ],
)
def test_total_is_the_r2_of_decoding_with_the_transpose(components: torch.Tensor) -> None:
    pixels = torch.randn(500, 8, dtype=torch.float64) * torch.arange(1, 9)
    _, total = shares(components, pixels)
    assert total == pytest.approx(r2_of_decoding(components, pixels), abs=1e-12)
    assert total <= 1


def test_share_of_a_component_is_of_its_direction_whatever_its_length() -> None:
    """ŵᵢ Σ ŵᵢᵀ / tr Σ with ŵᵢ of unit length: the variance of what is projected onto the direction."""
    pixels = torch.randn(500, 8, dtype=torch.float64) * torch.arange(1, 9)
    components = torch.randn(3, 8, dtype=torch.float64) * torch.tensor([[0.01], [3.0], [40.0]])
    x = pixels.numpy()
    expected = []
    for row in components.numpy():
        direction = row / np.sqrt((row**2).sum())
        expected.append((x @ direction).var(ddof=1) / x.var(axis=0, ddof=1).sum())
    per_component, _ = shares(components, pixels)
    assert per_component == pytest.approx(expected, rel=1e-10)


def test_white_noise_gives_k_over_c() -> None:
    pixels = torch.randn(200_000, 8, dtype=torch.float64)
    per_component, total = shares(orthonormal(3, 8), pixels)
    assert total == pytest.approx(3 / 8, abs=5e-3)
    assert per_component == pytest.approx([1 / 8] * 3, abs=5e-3)


def test_zeroed_components_explain_nothing() -> None:
    per_component, total = shares(
        torch.zeros(3, 8, dtype=torch.float64), torch.randn(50, 8, dtype=torch.float64)
    )
    assert per_component == [0, 0, 0]
    assert total == 0


def test_collapse_lowers_the_total() -> None:
    pixels = torch.randn(500, 8, dtype=torch.float64) * torch.arange(1, 9)
    components = orthonormal(3, 8)
    collapsed = components.clone()
    collapsed[1] = collapsed[0]
    assert shares(collapsed, pixels)[1] < shares(components, pixels)[1]


def test_all_components_explain_everything() -> None:
    per_component, total = shares(orthonormal(8, 8), torch.randn(50, 8, dtype=torch.float64))
    assert total == pytest.approx(1, abs=1e-12)
    assert sum(per_component) == pytest.approx(1, abs=1e-12)


def test_constant_input_gives_zero() -> None:
    assert shares(orthonormal(2, 4), torch.ones(9, 4, dtype=torch.float64)) == ([0, 0], 0)


def test_orthogonality_against_the_definition() -> None:
    components = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    deviation = components @ components.T - torch.eye(3, dtype=torch.float64)
    assert torch.isclose(orthogonality_penalty(components), torch.linalg.matrix_norm(deviation) ** 2)
    assert torch.isclose(orthogonality_error(components), torch.linalg.matrix_norm(deviation))
    assert torch.autograd.gradcheck(orthogonality_penalty, (components,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_level_gives_zero_loss_and_zero_gradient(dtype: torch.dtype) -> None:
    components = orthonormal(3, 61).to(dtype).requires_grad_()
    loss = orthogonality_penalty(components)
    loss.backward()
    assert loss == 0
    assert components.grad is not None
    assert not components.grad.any()
    off = (orthonormal(3, 61).to(dtype) * (1 + 1000 * torch.finfo(dtype).eps)).requires_grad_()
    assert orthogonality_penalty(off) > 0
