"""Choices of bands from moments, against brute force and the normal equations."""

from itertools import combinations

import numpy as np
import pytest
import torch

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.band_choice import (
    class_distance,
    even_bands,
    explained_share,
    explaining_bands,
    separating_bands,
    varying_bands,
)


def pixels(n: int = 400, c: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(c, c, generator=generator, dtype=torch.float64)
    return torch.randn(n, c, generator=generator, dtype=torch.float64) @ mixing


COVARIANCE = torch.cov(pixels().T)
DIFFERENCE = torch.randn(9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
CHOICES = {
    "separability": lambda cov, r: separating_bands(cov, r, 4),
    "explained": lambda cov, r: explaining_bands(cov, 4),
}


def distance(bands: list[int], covariance: torch.Tensor = COVARIANCE) -> float:
    """By the definition, with NumPy."""
    r = DIFFERENCE.numpy()[bands]
    return float(r @ np.linalg.solve(covariance.numpy()[np.ix_(bands, bands)], r))


def test_uncorrelated_bands_are_those_of_brute_force() -> None:
    covariance = torch.diag(torch.tensor([1.0, 4.0, 0.5, 9.0, 2.0, 1.0, 3.0, 0.1, 7.0], dtype=torch.float64))
    best = max(combinations(range(9), 3), key=lambda bands: distance(list(bands), covariance))
    assert sorted(separating_bands(covariance, DIFFERENCE, 3, eps=0.0)) == list(best)


def test_separating_bands_are_a_greedy_choice_after_one_sweep_of_exchanges() -> None:
    chosen: list[int] = []
    for _ in range(4):
        chosen.append(max(set(range(9)) - set(chosen), key=lambda band: distance([*chosen, band])))
    for place in range(4):
        others = chosen[:place] + chosen[place + 1 :]
        chosen[place] = max(set(range(9)) - set(others), key=lambda band: distance([*others, band]))
    assert separating_bands(COVARIANCE, DIFFERENCE, 4, eps=0.0) == chosen


def test_explaining_bands_reduce_what_is_left_most() -> None:
    deviation = COVARIANCE.diagonal().sqrt().numpy()
    correlation = COVARIANCE.numpy() / np.outer(deviation, deviation)

    def left(bands: list[int]) -> float:
        rows = correlation[bands]
        return float(np.trace(correlation - rows.T @ np.linalg.solve(rows[:, bands], rows)))

    chosen: list[int] = []
    for _ in range(4):
        chosen.append(min(set(range(9)) - set(chosen), key=lambda band: left([*chosen, band])))
    assert explaining_bands(COVARIANCE, 4) == chosen
    others = sorted(set(range(9)) - set(chosen))
    assert explained_share(COVARIANCE, chosen) == pytest.approx(1 - left(chosen) / len(others))


@pytest.mark.parametrize("name", CHOICES)
def test_scaling_any_band_changes_nothing(name: str) -> None:
    scale = torch.logspace(-4, 5, 9, dtype=torch.float64)
    scaled = torch.outer(scale, scale) * COVARIANCE
    assert CHOICES[name](scaled, scale * DIFFERENCE) == CHOICES[name](COVARIANCE, DIFFERENCE)


@pytest.mark.parametrize("name", CHOICES)
def test_of_equal_bands_the_lower_is_taken_once(name: str) -> None:
    copies = torch.arange(9).repeat(2)
    doubled = COVARIANCE[copies][:, copies]
    found = CHOICES[name](doubled, DIFFERENCE[copies])
    assert len(set(found)) == 4
    assert found == CHOICES[name](COVARIANCE, DIFFERENCE)


def test_ties_go_to_the_lower_band() -> None:
    assert explaining_bands(torch.eye(5, dtype=torch.float64), 3) == [0, 1, 2]
    assert separating_bands(torch.eye(5, dtype=torch.float64), torch.ones(5).double(), 3) == [0, 1, 2]
    assert varying_bands(torch.eye(5, dtype=torch.float64), 2) == [0, 1]


def test_more_bands_than_the_rank_are_refused() -> None:
    copies = torch.tensor([0, 1, 0, 1])
    with pytest.raises(GraphError, match=r"n_select=3: .* after 2 bands the others add nothing"):
        explaining_bands(COVARIANCE[copies][:, copies], 3)


def test_bands_that_do_not_vary_are_never_chosen() -> None:
    covariance = COVARIANCE.clone()
    covariance[2] = covariance[:, 2] = 0
    assert 2 not in explaining_bands(covariance, 8)
    assert 2 not in separating_bands(covariance, DIFFERENCE, 8)


def test_even_bands_go_by_wavelength() -> None:
    positions = torch.tensor([700.0, 400.0, 410.0, 420.0, 550.0, 560.0]).double()
    assert even_bands(positions, 3) == [1, 4, 0]
    assert even_bands(positions, 1) == [4]
    assert sorted(even_bands(torch.arange(6).double(), 6)) == list(range(6))


def test_class_distance_is_mahalanobis() -> None:
    assert class_distance(COVARIANCE, DIFFERENCE, [1, 4, 7]) == pytest.approx(distance([1, 4, 7]) ** 0.5)
