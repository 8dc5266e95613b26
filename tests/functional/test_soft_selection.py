"""Weights that sum to k, the channels they make, and penalties on them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cuvis_ai.functional.soft_selection import (
    diversity_penalty,
    entropy_penalty,
    hard_weights,
    jaccard,
    selection_matrix,
    selection_weights,
)

LOGITS = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30)


@settings(deadline=None, max_examples=100)
@given(logits=LOGITS, share=st.floats(0, 1), temperature=st.sampled_from([1e-9, 1e-3, 0.1, 1.0, 5.0, 1e4]))
def test_weights_sum_to_k_within_0_and_1_in_the_logits_order(
    logits: list[float], share: float, temperature: float
) -> None:
    values = torch.tensor(logits, dtype=torch.float64)
    k = 1 + round(share * (len(logits) - 1))
    weights = selection_weights(values, k, temperature)
    assert float(weights.sum()) == pytest.approx(k, abs=1e-9)
    assert float(weights.min()) >= 0
    assert float(weights.max()) <= 1
    ordered = weights[torch.argsort(values)]
    assert bool((ordered.diff() >= -1e-12).all())


def test_cold_weights_are_the_k_greatest() -> None:
    weights = selection_weights(torch.tensor([0.3, 0.1, 0.2, 0.05]), 2, 1e-6)
    assert weights.tolist() == pytest.approx([1, 0, 1, 0], abs=1e-12)


def test_equal_logits_share_k() -> None:
    assert selection_weights(torch.zeros(8), 3, 1e-9).tolist() == pytest.approx([3 / 8] * 8)


def test_bands_that_are_forbidden_get_no_weight() -> None:
    weights = selection_weights(torch.tensor([0.0, -1e30, 0.0, 0.0]), 2, 1.0)
    assert weights.tolist() == pytest.approx([2 / 3, 0, 2 / 3, 2 / 3])


def test_gradient_of_the_weights() -> None:
    logits = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: selection_weights(x, 3, 0.7), (logits,))
    assert torch.autograd.gradcheck(lambda x: selection_weights(x, 9, 0.7), (logits,))


@settings(deadline=None, max_examples=50)
@given(logits=LOGITS, share=st.floats(0, 1))
def test_rows_of_the_matrix_sum_to_1_and_columns_to_the_weights(logits: list[float], share: float) -> None:
    k = 1 + round(share * (len(logits) - 1))
    weights = selection_weights(torch.tensor(logits, dtype=torch.float64), k, 1.0)
    order = torch.arange(len(logits)).flip(0)
    matrix = selection_matrix(weights, k, order)
    torch.testing.assert_close(matrix.sum(1), torch.ones(k, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(matrix.sum(0), weights, rtol=0, atol=1e-9)


def test_hard_weights_gather_and_equal_ones_bin() -> None:
    wavelengths = torch.tensor([500.0, 400.0, 600.0, 700.0])
    hard = selection_matrix(hard_weights(torch.tensor([3, 1]), 4), 2, wavelengths.argsort())
    assert hard.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]  # 400 nm, then 700 nm
    equal = selection_matrix(torch.full((4,), 0.5, dtype=torch.float64), 2, wavelengths.argsort())
    assert equal.tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]


def correlated() -> torch.Tensor:
    i = torch.arange(61, dtype=torch.float64)
    return torch.exp(-(i[:, None] - i).abs() / 6)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (hard_weights(torch.arange(2, 61, 4), 61), 0.047),  # evenly spaced
        (torch.full((61,), 15 / 61, dtype=torch.float64), 0.084),
        (hard_weights(torch.tensor([*range(8), *range(54, 61)]), 61), 0.205),
        (hard_weights(torch.arange(15), 61), 0.277),
    ],
)
def test_diversity_of_61_bands(weights: torch.Tensor, expected: float) -> None:
    """Figures of the requirement, with ρ = exp(−|i − j| / 6)."""
    assert float(diversity_penalty(weights, correlated(), 15)) == pytest.approx(expected, abs=5e-4)


def test_diversity_of_copies_and_of_uncorrelated_bands() -> None:
    weights = hard_weights(torch.arange(3), 5)
    assert float(diversity_penalty(weights, torch.ones(5, 5, dtype=torch.float64), 3)) == pytest.approx(1)
    assert float(diversity_penalty(weights, torch.eye(5, dtype=torch.float64), 3)) == 0
    assert float(diversity_penalty(weights[:1], torch.eye(1, dtype=torch.float64), 1)) == 0


def test_entropy_penalty_is_0_for_equal_weights_and_1_for_k() -> None:
    assert float(entropy_penalty(torch.full((6,), 0.5), 3)) == pytest.approx(0, abs=1e-6)
    assert float(entropy_penalty(hard_weights(torch.arange(3), 6), 3)) == pytest.approx(1)
    assert float(entropy_penalty(torch.ones(3), 3)) == 0
    assert float(entropy_penalty(torch.full((6,), 0.5), 3, 1.0)) == pytest.approx((math.log(6) - 1) ** 2)


def test_jaccard() -> None:
    assert jaccard(torch.tensor([1, 2, 3]), torch.tensor([3, 2, 7])) == 0.5
