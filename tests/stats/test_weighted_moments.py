from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cuvis_ai.stats import WeightedMoments


def pixels_and_weights(n: int = 500, c: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.randn(n, c, dtype=torch.float64) @ torch.randn(c, c, dtype=torch.float64) + 1e4
    return pixels, torch.rand(n, dtype=torch.float64)


def of(pixels: torch.Tensor, weights: torch.Tensor) -> WeightedMoments:
    moments = WeightedMoments()
    moments.update_weighted(pixels, weights)
    return moments


def assert_is_numpys(moments: WeightedMoments, pixels: torch.Tensor, weights: torch.Tensor) -> None:
    np.testing.assert_allclose(moments.weight, weights.sum())
    np.testing.assert_allclose(
        moments.mean, np.average(pixels, axis=0, weights=weights), rtol=1e-13, atol=1e-10
    )
    expected = np.cov(pixels, rowvar=False, aweights=weights, ddof=0)
    np.testing.assert_allclose(moments.covariance(), np.atleast_2d(expected), rtol=1e-9)


@pytest.mark.parametrize("c", [1, 4])
def test_against_numpy(c: int) -> None:
    pixels, weights = pixels_and_weights(c=c)
    assert_is_numpys(of(pixels, weights), pixels, weights)


@given(st.lists(st.integers(0, 500), max_size=4), st.randoms())
def test_any_split_and_order(cuts: list[int], random: object) -> None:
    pixels, weights = pixels_and_weights()
    edges = [0, *sorted(cuts), 500]
    parts = [
        of(pixels[a:b], weights[a:b])
        for a, b in pairwise(edges)
    ]  # fmt: skip
    random.shuffle(parts)  # type: ignore[attr-defined]
    whole = WeightedMoments()
    for part in parts:
        whole = whole.merge(part)
    assert_is_numpys(whole, pixels, weights)


def test_weights_of_zero_and_pixels_that_are_not_finite_are_passed_over() -> None:
    pixels, weights = pixels_and_weights()
    spoilt = pixels.clone()
    spoilt[::7, 1] = float("nan")
    weights[1::7] = 0
    moments = of(spoilt, weights)
    kept = (torch.arange(500) % 7 != 0) & (weights > 0)
    assert moments.count == int(kept.sum())
    assert_is_numpys(moments, pixels[kept], weights[kept])


def test_equal_weights_count_pixels_and_flags_are_weights() -> None:
    pixels, weights = pixels_and_weights()
    flags = weights < 0.3
    moments = WeightedMoments()
    moments.update(pixels, flags)
    assert_is_numpys(moments, pixels[flags], torch.ones(int(flags.sum()), dtype=torch.float64))


def test_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuvis_ai.stats.weighted_moments.block_length", lambda _: 64)
    pixels, weights = pixels_and_weights()
    assert_is_numpys(of(pixels, weights), pixels, weights)
