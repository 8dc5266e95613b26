"""Loss formulas against their definitions, and their gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cuvis_ai.functional.loss_formulas import (
    anchor_penalty,
    class_balanced_loss,
    logistic_loss,
    squared_error,
    uncertainty_weighted,
)
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


def test_class_balanced_loss_is_half_of_each_classes_mean() -> None:
    logits, mask = cube(), cube(seed=1)[:, 0] > 0.8
    anomalous, normal = [], []
    for z, y in zip(logits.flatten().tolist(), mask.flatten().tolist(), strict=True):
        (anomalous if y else normal).append(np.log1p(np.exp(-z if y else z)))
    n1, n0 = torch.tensor(float(len(anomalous))).double(), torch.tensor(float(len(normal))).double()
    found = class_balanced_loss(logits, mask, n1, n0).mean()
    assert float(found) == pytest.approx(np.mean(anomalous) / 2 + np.mean(normal) / 2, rel=1e-12)
    # The same in other words: normal pixels count n₁ / n₀, over 2 n₁ effective pixels.
    effective = (sum(anomalous) + len(anomalous) / len(normal) * sum(normal)) / (2 * len(anomalous))
    assert float(found) == pytest.approx(effective, rel=1e-12)


def test_anchor_is_a_normal_prior_over_twice_the_anomalies() -> None:
    drift = torch.tensor([3.0, -4.0])
    assert float(anchor_penalty(drift, 0.1, torch.tensor(5.0))) == pytest.approx(0.1 / 2 * 25 / 10)


def test_gradients_of_the_balanced_loss_and_its_anchor_are_right() -> None:
    logits, drift = cube().requires_grad_(), torch.randn(3, dtype=torch.float64, requires_grad=True)
    mask, n1, n0 = cube(seed=1)[:, 0] > 0.8, torch.tensor(5.0).double(), torch.tensor(19.0).double()
    assert torch.autograd.gradcheck(lambda z: class_balanced_loss(z, mask, n1, n0).mean(), (logits,))
    assert torch.autograd.gradcheck(lambda d: anchor_penalty(d, 0.3, n1), (drift,))


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
