"""Formulas of signature detection and of the linear discriminant."""

import math

import numpy as np
import pytest
import torch

from cuvis_ai.functional.target_detection import linear_discriminant, signed_coherence


def test_coherence_is_the_squared_cosine_with_the_sign_of_the_cosine() -> None:
    x = torch.tensor([[3.0, 4.0], [-3.0, 4.0], [0.0, 0.0], [-5.0, 0.0]]).T[None, :, :, None]
    # The signature is the first axis: cosines 3/5, −3/5, undefined, −1.
    np.testing.assert_allclose(signed_coherence(x[:, :1], x).flatten(), [0.36, -0.36, 0.0, -1.0], rtol=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_coherence_hides_no_value_that_is_not_finite(value: float) -> None:
    x = torch.tensor([1.0, value])[None, :, None, None]
    assert not bool(signed_coherence(x[:, :1], x).isfinite())


def test_discriminant_is_zero_half_way_and_is_the_log_ratio_of_the_densities() -> None:
    m0, m1, variance = (torch.tensor([value], dtype=torch.float64) for value in (1.0, 4.0, 2.0))
    scale, bias = linear_discriminant(m0, m1, variance)
    f = np.linspace(-5, 9, 7)
    log_ratio = -((f - 4.0) ** 2) / 4 + (f - 1.0) ** 2 / 4
    np.testing.assert_allclose(float(scale) * (f - float(bias)), log_ratio, rtol=1e-12)


def test_discriminant_is_finite_without_variance() -> None:
    m0, m1 = torch.tensor([0.0]), torch.tensor([1.0])
    scale, bias = linear_discriminant(m0, m1, torch.tensor([0.0]))
    assert bool(scale.isfinite())
    assert float(bias) == 0.5
