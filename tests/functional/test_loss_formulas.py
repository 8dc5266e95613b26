"""Loss formulas against their definitions, and their gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cuvis_ai.functional.loss_formulas import logistic_loss, squared_error, uncertainty_weighted
from cuvis_ai.leaf.bases import pooled


def cube(c: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(2, c, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_squared_error_is_the_mean_over_channels() -> None:
    output, target = cube(5), cube(5, seed=1)
    expected = ((output.numpy() - target.numpy()) ** 2).mean(1, keepdims=True)
    np.testing.assert_allclose(squared_error(output, target), expected)


@pytest.mark.parametrize("weight", [None, 3.0])
def test_logistic_loss_is_its_formula(weight: float | None) -> None:
    logits, mask = cube(), cube(seed=1)[:, 0] > 0
    factor = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    p = 1 / (1 + np.exp(-logits.numpy()))
    y = mask[:, None].numpy()
    expected = -(weight or 1.0) * y * np.log(p) - (1 - y) * np.log(1 - p)
    np.testing.assert_allclose(logistic_loss(logits, mask, factor), expected)


@given(st.floats(-1e4, 1e4), st.booleans())
def test_logistic_loss_is_never_negative_and_always_finite(logit: float, anomalous: bool) -> None:
    value = logistic_loss(torch.full((1, 1, 1, 1), logit), torch.full((1, 1, 1), anomalous))
    assert 0 <= float(value) <= 1e4 + 1


def test_uncertainty_weights_are_liebels_and_koerners() -> None:
    losses, s = torch.tensor([2.0, 3.0]), torch.tensor([0.5, -1.0])
    expected = sum(
        float(loss) / (2 * np.exp(si)) + np.log(1 + np.exp(si))
        for loss, si in zip(losses, s.tolist(), strict=True)
    )
    assert float(uncertainty_weighted(losses, s)) == pytest.approx(expected)


@given(st.floats(0, 1e6), st.floats(-80, 80))
def test_uncertainty_weighting_of_losses_that_are_not_negative_is_not_negative(loss: float, s: float) -> None:
    assert float(uncertainty_weighted(torch.tensor([loss, 0.0]), torch.tensor([s, s]))) >= 0


def test_pooling_takes_valid_pixels_alone_and_is_zero_without_any() -> None:
    values, valid = cube(), cube(seed=1)[:, 0] > 0
    assert float(pooled(values, valid)) == pytest.approx(float(values[:, 0][valid].mean()))
    assert float(pooled(values, None)) == pytest.approx(float(values.mean()))
    nothing = pooled(values.requires_grad_(), torch.zeros_like(valid))
    assert float(nothing.detach()) == 0
    assert nothing.requires_grad


def test_gradients() -> None:
    mask = cube(seed=1)[:, 0] > 0
    weight = torch.tensor(2.0, dtype=torch.float64)
    outputs = [cube(3).requires_grad_(), cube(3, seed=2).requires_grad_()]
    assert torch.autograd.gradcheck(squared_error, outputs)
    assert torch.autograd.gradcheck(lambda z: logistic_loss(z, mask, weight), (cube().requires_grad_(),))
    pair = [torch.rand(3, dtype=torch.float64).requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(uncertainty_weighted, pair)
