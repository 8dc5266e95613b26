"""Closed forms against their definitions."""

import numpy as np
import pytest
import torch

from cuvis_ai.functional.eigen import principal_components, ridged_whitening, whitening


def covariance(c: int = 6, rank: int | None = None) -> torch.Tensor:
    factor = np.random.default_rng(0).normal(size=(c, rank or c)) * np.logspace(0, -3, rank or c)
    return torch.from_numpy(factor @ factor.T)


def test_components_are_sorted_orthonormal_eigenvectors_with_fixed_signs() -> None:
    matrix = covariance()
    vectors, variances = principal_components(matrix, 4)
    torch.testing.assert_close(matrix @ vectors.T, vectors.T * variances)
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(4, dtype=torch.float64))
    assert bool((variances.diff() <= 0).all())
    assert bool((vectors.gather(1, vectors.abs().argmax(1, keepdim=True)) > 0).all())


def test_whitening_factor_squares_to_the_inverse() -> None:
    matrix = covariance()
    factor, condition = whitening(matrix)
    torch.testing.assert_close(factor.T @ factor, torch.linalg.inv(matrix), rtol=1e-6, atol=1e-6)
    deviation = matrix.diagonal().sqrt().numpy()
    assert np.isclose(condition, np.linalg.cond(matrix.numpy() / np.outer(deviation, deviation)), rtol=1e-6)


def test_whitening_of_a_singular_covariance_is_the_pseudo_inverse_of_its_correlation() -> None:
    matrix = covariance(6, rank=3)
    factor, _ = whitening(matrix)
    assert len(factor) == 3
    deviation = matrix.diagonal().sqrt()
    units = torch.outer(deviation, deviation)
    expected = torch.linalg.pinv(matrix / units, hermitian=True, rtol=1e-12) / units
    torch.testing.assert_close(factor.T @ factor, expected, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("rank", [3, 6])
@pytest.mark.parametrize("spread", [3, 8])
def test_distances_do_not_depend_on_the_units_of_the_channels(rank: int, spread: int) -> None:
    matrix = covariance(6, rank)
    scale = torch.logspace(-spread, spread, 6, dtype=torch.float64)
    x = torch.linalg.cholesky(covariance() + torch.eye(6)) @ torch.randn(6, 20, dtype=torch.float64)
    plain, scaled = whitening(matrix).factor, whitening(scale[:, None] * matrix * scale).factor
    assert len(plain) == len(scaled) == rank
    torch.testing.assert_close(
        (scaled @ (scale[:, None] * x)).square().sum(0), (plain @ x).square().sum(0), rtol=1e-6, atol=0.0
    )


def test_factor_is_continuous_where_eigenvalues_meet() -> None:
    """After a PCA the correlation is the identity but for rounding, which must not turn the factor."""
    noise = 1e-12 * torch.randn(5, 5, dtype=torch.float64)
    variances = torch.diag(torch.tensor([9.0, 4.0, 1.0, 0.25, 1e-4], dtype=torch.float64))
    found = whitening(variances + 1e-4 * (noise + noise.T)).factor
    torch.testing.assert_close(found, variances.diagonal().rsqrt().diag(), rtol=1e-6, atol=1e-6)


def test_channel_that_varies_less_than_its_mean_is_rounded_to_is_constant() -> None:
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[1, 1] = 1e-6
    mean = torch.tensor([1e4, 1e5, 0.0], dtype=torch.float64)
    factor, condition = whitening(matrix, dtype=torch.float32, mean=mean)
    assert factor.shape == (2, 3)
    assert not factor[:, 1].any()
    assert condition == pytest.approx(1.0)
    assert len(whitening(matrix, dtype=torch.float64, mean=mean).factor) == 3
    assert len(whitening(matrix, eps=1e-3, dtype=torch.float32, mean=mean).factor) == 3


def test_ridge_is_added_to_the_diagonal() -> None:
    matrix = covariance(6, rank=3)
    factor, _ = whitening(matrix, eps=0.1)
    torch.testing.assert_close(factor.T @ factor, torch.linalg.inv(matrix + 0.1 * torch.eye(6).double()))


def test_covariance_of_zeros_has_rank_zero() -> None:
    factor, condition = whitening(torch.zeros(4, 4, dtype=torch.float64))
    assert factor.shape == (0, 4)
    assert condition == float("inf")


def test_ridged_whitening_squares_to_the_inverse_of_the_ridged_covariance() -> None:
    matrix = covariance()
    factor = ridged_whitening(matrix, 0.3)
    ridged = matrix + 0.3 * torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(factor.T @ factor, torch.linalg.inv(ridged))
    assert torch.equal(factor, factor.triu())


def test_ridged_whitening_leaves_directions_without_variance_out() -> None:
    factor = ridged_whitening(covariance(6, rank=3), 0.3)
    assert len(factor) == 3
    values = torch.linalg.eigvalsh(covariance(6, rank=3))[3:]
    torch.testing.assert_close(torch.linalg.eigvalsh(factor @ factor.T), (1 / (values + 0.3)).sort().values)
