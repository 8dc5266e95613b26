"""Closed forms against their definitions."""

import numpy as np
import torch

from cuvis_ai.functional.eigen import principal_components, whitening


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
    assert np.isclose(condition, np.linalg.cond(matrix.numpy()), rtol=1e-6)


def test_whitening_of_a_singular_covariance_is_its_pseudo_inverse() -> None:
    matrix = covariance(6, rank=3)
    factor, _ = whitening(matrix)
    assert len(factor) == 3
    torch.testing.assert_close(
        factor.T @ factor, torch.linalg.pinv(matrix, hermitian=True, rtol=1e-12), rtol=1e-6, atol=1e-3
    )


def test_ridge_is_added_to_the_diagonal() -> None:
    matrix = covariance(6, rank=3)
    factor, _ = whitening(matrix, eps=0.1)
    torch.testing.assert_close(factor.T @ factor, torch.linalg.inv(matrix + 0.1 * torch.eye(6).double()))


def test_covariance_of_zeros_has_rank_zero() -> None:
    factor, condition = whitening(torch.zeros(4, 4, dtype=torch.float64))
    assert factor.shape == (0, 4)
    assert condition == float("inf")
