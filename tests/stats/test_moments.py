"""Moments against NumPy in float64, for any split, order, merge and offset."""

import itertools
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats import ChannelMoments, Extrema, Moments, Sketch, update_all
from cuvis_ai.stats.blocks import block_length

KINDS = [Moments, ChannelMoments, Extrema]


def pixels(n: int = 500, c: int = 6, offset: float = 0.0, seed: int = 0) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(n, c)) @ generator.normal(size=(c, c)) * 15 + offset
    return torch.from_numpy(values.astype(np.float32))


def sketch_of(kind: Callable[[], Sketch], *parts: torch.Tensor) -> Sketch:
    sketch = kind()
    for part in parts:
        sketch.update(part)
    return sketch


def state_of(sketch: Sketch) -> list[torch.Tensor]:
    return [torch.as_tensor(getattr(sketch, field.name)) for field in fields(sketch) if field.init]


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
def test_covariance_is_numpys_at_any_offset(offset: float) -> None:
    x = pixels(offset=offset)
    moments = Moments()
    update_all([moments], x)
    reference = x.numpy().astype(np.float64)
    np.testing.assert_allclose(moments.mean, reference.mean(0), rtol=1e-12)
    expected = np.cov(reference, rowvar=False)
    assert np.abs(moments.covariance().numpy() - expected).max() / np.abs(expected).max() < 1e-11
    np.testing.assert_allclose(moments.covariance(ddof=0), np.cov(reference, rowvar=False, ddof=0), rtol=1e-8)


def test_channel_moments_and_extrema_are_numpys() -> None:
    x = pixels(offset=1e4)
    channels, extrema = ChannelMoments(), Extrema()
    update_all([channels, extrema], x)
    reference = x.numpy().astype(np.float64)
    np.testing.assert_allclose(channels.variance(), reference.var(0, ddof=1), rtol=1e-11)
    np.testing.assert_array_equal(extrema.low, reference.min(0))
    np.testing.assert_array_equal(extrema.high, reference.max(0))


@pytest.mark.parametrize("kind", KINDS)
@given(cuts=st.lists(st.integers(0, 500), max_size=6), seed=st.integers(0, 99), swap=st.booleans())
def test_any_split_order_and_merge_gives_the_whole(
    kind: type[Sketch], cuts: list[int], seed: int, swap: bool
) -> None:
    x = pixels(offset=1e4)[torch.randperm(500, generator=torch.Generator().manual_seed(seed))]
    edges = sorted({0, 500, *cuts})
    parts = [x[a:b] for a, b in itertools.pairwise(edges)]
    middle = len(parts) // 2
    first, second = sketch_of(kind, *parts[:middle]), sketch_of(kind, *parts[middle:])
    merged = second.merge(first) if swap else first.merge(second)
    whole = sketch_of(kind, x)
    assert merged.count == whole.count == 500
    assert merged.channels == 6
    for got, expected in zip(state_of(merged), state_of(whole), strict=True):
        scale = max(float(expected.abs().max()), 1.0)
        assert float((got - expected).abs().max()) <= 1e-11 * scale


@pytest.mark.parametrize("kind", KINDS)
def test_merging_changes_neither_part(kind: type[Sketch]) -> None:
    a, b = sketch_of(kind, pixels(seed=1)), sketch_of(kind, pixels(seed=2))
    before = [t.clone() for t in (*state_of(a), *state_of(b))]
    a.merge(b)
    assert all(torch.equal(x, y) for x, y in zip((*state_of(a), *state_of(b)), before, strict=True))
    assert a.merge(kind()).count == kind().merge(a).count == 500


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_with_few_many_or_no_valid_pixels_are_as_the_valid_ones_alone(kind: type[Sketch]) -> None:
    length = block_length(pixels(n=1))
    x = pixels(n=4 * length + 7)
    valid = torch.from_numpy(np.random.default_rng(1).random(len(x)) < 0.7)
    valid[length : 2 * length] = False
    valid[2 * length : 3 * length] = True
    valid[3 * length + 9 : 4 * length] = False
    got = kind()
    update_all([got], x, valid)
    expected = sketch_of(kind, x[valid])
    assert got.count == int(valid.sum())
    for g, e in zip(state_of(got), state_of(expected), strict=True):
        torch.testing.assert_close(g, e, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_invalid_and_non_finite_pixels_are_passed_over(kind: type[Sketch], bad: float) -> None:
    x = pixels()
    spoilt = x.clone()
    spoilt[3, 2] = spoilt[400, 5] = bad
    valid = torch.ones(500, dtype=torch.bool)
    valid[10:20] = False
    chosen = valid.clone()
    chosen[[3, 400]] = False
    got = kind()
    got.update(spoilt, valid)
    expected = sketch_of(kind, x[chosen])
    assert got.count == 488
    for g, e in zip(state_of(got), state_of(expected), strict=True):
        torch.testing.assert_close(g, e, rtol=1e-12, atol=1e-12)
    unmasked = kind()
    unmasked.update(spoilt)
    assert unmasked.count == 498


@pytest.mark.parametrize("kind", KINDS)
def test_other_channel_counts_are_refused(kind: type[Sketch]) -> None:
    with pytest.raises(GraphError, match="expected 6 channels.*got 5"):
        sketch_of(kind, pixels(), pixels(c=5))


def random_map(k: int, c: int, *, channelwise: bool = False) -> Affine:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn((c,) if channelwise else (k, c), generator=generator, dtype=torch.float64)
    center, bias = (
        torch.randn(n, generator=generator, dtype=torch.float64) for n in (c, c if channelwise else k)
    )
    return Affine(weight, center, bias)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channelwise", [True, False])
def test_carried_sketch_is_the_sketch_of_the_mapped_pixels(kind: type[Sketch], channelwise: bool) -> None:
    affine = random_map(3, 6, channelwise=channelwise)
    if not channelwise and kind is not Moments:
        pytest.skip("exact through channelwise maps alone")
    x = pixels().double()
    carried, direct = sketch_of(kind, x).through(affine), sketch_of(kind, affine(x))
    for got, expected in zip(state_of(carried), state_of(direct), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-8)


def test_carrying_moments_is_differentiable() -> None:
    moments = Moments()
    moments.update(pixels().double())
    weight = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)

    def carried(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        center, bias = torch.zeros(6, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
        of = moments.through(Affine(weight, center, bias))
        return of.mean, of.covariance()

    assert torch.autograd.gradcheck(carried, (weight,))
