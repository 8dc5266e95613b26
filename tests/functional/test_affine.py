"""Affine maps: composing and stacking are the same as applying one after the other."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cuvis_ai.functional.affine import (
    Affine,
    centred,
    identity_like,
    pixel_lines,
    pixel_matrices,
    pixels_of,
    stack,
)

BLOCK = 220_000
"""Pixels of 5 float32 channels: more than one block."""


def random_map(
    k: int, c: int, seed: int, *, channelwise: bool = False, dtype: torch.dtype = torch.float64
) -> Affine:
    generator = torch.Generator().manual_seed(seed)
    k = c if channelwise else k
    weight = torch.randn((c,) if channelwise else (k, c), generator=generator, dtype=torch.float64)
    center, bias = (torch.randn(n, generator=generator, dtype=torch.float64) for n in (c, k))
    return Affine(weight.to(dtype), center.to(dtype), bias.to(dtype))


@given(outer=st.booleans(), inner=st.booleans(), seed=st.integers(0, 999))
def test_composition_is_application_in_turn(outer: bool, inner: bool, seed: int) -> None:
    x = torch.randn(11, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    first, second = random_map(4, 5, seed, channelwise=inner), None
    second = random_map(3, first.out_channels, seed + 1, channelwise=outer)
    both = second.after(first)
    torch.testing.assert_close(both(x), second(first(x)), rtol=1e-10, atol=1e-10)
    assert both.channelwise == (outer and inner)
    if inner and not outer:  # what the inner map takes to the outer one's center
        torch.testing.assert_close(first(both.center[None])[0], second.center)
    else:
        assert torch.equal(both.center, first.center)


def test_channels_that_an_inner_map_drops_keep_their_center() -> None:
    first, second = random_map(5, 5, 0, channelwise=True), random_map(3, 5, 1)
    first.weight[1] = 0
    both, x = second.after(first), torch.randn(11, 5, dtype=torch.float64)
    assert both.center[1] == first.center[1]
    torch.testing.assert_close(both(x), second(first(x)), rtol=1e-10, atol=1e-10)


def test_a_rounded_map_has_the_values_of_the_exact_one_far_from_zero() -> None:
    """Steps of float32 are 0.004 at 50,000, a thousandth of the spread there."""
    generator = torch.Generator().manual_seed(0)
    exact = random_map(3, 5, 0)
    x = (50_000 + 4 * torch.randn(100, 5, generator=generator)).round()
    for affine in (
        Affine(exact.weight, x.double().mean(0) + 1e-3, exact.bias),
        exact.after(Affine(torch.full((5,), 0.1).double(), x.double().mean(0) / 3, exact.bias.new_zeros(5))),
    ):
        torch.testing.assert_close(
            affine.to(torch.float32)(x).double(), affine(x.double()), rtol=1e-5, atol=1e-4
        )


def test_a_center_and_what_it_is_rounded_by_act_as_their_sum() -> None:
    exact, rest = random_map(3, 5, 0), 1e-3 * torch.randn(5, dtype=torch.float64)
    x = torch.randn(11, 5, dtype=torch.float64)
    whole = Affine(exact.weight, exact.center + rest, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(centred(exact.weight, exact.center, rest)(x), whole(x))


@pytest.mark.parametrize("lowest", [0.0, 300.0])
@pytest.mark.parametrize("k", [2, 9])
def test_a_pointwise_function_by_blocks_gives_what_it_gives_at_once(lowest: float, k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    cube = lowest + torch.randn(2, 290, 300, 9, generator=generator).permute(0, 3, 1, 2)
    weight = torch.randn(k, 9, generator=generator)
    affine = Affine(weight, torch.full((9,), lowest), torch.zeros(k))
    result = affine.on_cube(cube, lambda y: y.square().sum(1, keepdim=True))
    exact = (
        torch.einsum("kc,bchw->bkhw", weight.double(), cube.double() - lowest).square().sum(1, keepdim=True)
    )
    torch.testing.assert_close(result, exact.float(), rtol=1e-5, atol=1e-6)
    tracked = Affine(weight.clone().requires_grad_(), affine.center, affine.bias)
    with_gradient = tracked.on_cube(cube, lambda y: y.square().sum(1, keepdim=True))
    assert torch.equal(with_gradient, result)
    assert with_gradient.requires_grad


def test_composition_of_a_long_chain_keeps_digits_far_from_zero() -> None:
    """At mean 2e4 and spread 15 the composed float32 map agrees with float64 to 1e-5 of the output's spread."""
    generator = torch.Generator().manual_seed(0)
    x = 2e4 + 15 * torch.randn(1000, 6, dtype=torch.float64, generator=generator)
    x = x.float().double()
    weight = torch.randn(6, 6, dtype=torch.float64, generator=generator)
    first = Affine(
        torch.full((6,), 1 / 90, dtype=torch.float64), x.amin(0), torch.zeros(6, dtype=torch.float64)
    )
    second = Affine(weight, first(x).mean(0), torch.zeros(6, dtype=torch.float64))
    exact = second(first(x))
    single = [Affine(m.weight.float(), m.center.float(), m.bias.float()) for m in (first, second)]
    composed = single[1].after(single[0])(x.float()).double()
    assert float((composed - exact).abs().max() / exact.std()) < 1e-5


def test_stack_is_concatenation() -> None:
    x = torch.randn(11, 5, dtype=torch.float64)
    maps = [random_map(3, 5, 1), random_map(5, 5, 2, channelwise=True), identity_like(x[0])]
    expected = torch.cat([m(x) for m in maps], 1)
    torch.testing.assert_close(stack(maps)(x), expected)
    assert stack(maps[:1]) is maps[0]


@pytest.mark.parametrize("n", [1, BLOCK, 2 * BLOCK + 7])
def test_blocks_give_what_one_product_gives(n: int) -> None:
    affine = random_map(3, 5, 1, dtype=torch.float32)
    x = torch.randn(n, 5)
    expected = (x - affine.center) @ affine.weight.T + affine.bias
    torch.testing.assert_close(affine(x), expected, rtol=1e-5, atol=1e-5)
    tracked = Affine(affine.weight.clone().requires_grad_(), affine.center, affine.bias)
    torch.testing.assert_close(tracked(x), expected, rtol=1e-5, atol=1e-5)


def test_autocast_is_left() -> None:
    affine = random_map(3, 5, 1, dtype=torch.float32)
    x = torch.randn(4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(affine(x), affine(x))
        assert affine(x).dtype == torch.float32
        assert affine(x.bfloat16()).dtype == torch.float32
    torch.testing.assert_close(affine(x), (x - affine.center) @ affine.weight.T + affine.bias)


@pytest.mark.parametrize("channelwise", [False, True])
@pytest.mark.parametrize("fixed", [(), (0,), (0, 2), (1, 3)])
def test_gradients(channelwise: bool, fixed: tuple[int, ...]) -> None:
    x = torch.randn(6, 5, dtype=torch.float64)
    parts = [x, *vars(random_map(3, 5, 1, channelwise=channelwise)).values()]
    for i, part in enumerate(parts):
        part.requires_grad_(i not in fixed)
    assert torch.autograd.gradcheck(lambda x, w, c, b: Affine(w, c, b)(x), parts)


def test_gradients_of_several_blocks() -> None:
    x = torch.randn(2 * BLOCK + 7, 5, dtype=torch.float64)
    weight, center, bias = (p.requires_grad_() for p in vars(random_map(3, 5, 1)).values())
    found = torch.autograd.grad(Affine(weight, center, bias)(x).cos().sum(), (weight, center, bias))
    plain = torch.autograd.grad(((x - center) @ weight.T + bias).cos().sum(), (weight, center, bias))
    for mine, expected in zip(found, plain, strict=True):
        torch.testing.assert_close(mine, expected)


def test_pixels_of_a_channels_last_cube_are_a_view() -> None:
    cube = torch.randn(2, 3, 4, 5).permute(0, 3, 1, 2)
    pixels = pixels_of(cube)
    assert pixels.shape == (24, 5)
    assert pixels.data_ptr() == cube.data_ptr()
    assert torch.equal(pixels.view(2, 3, 4, 5).permute(0, 3, 1, 2), cube)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 3, 4, 5), (3, 1, 4, 5), (2, 3, 1, 1)])
@pytest.mark.parametrize("layout", ["contiguous", "channels last", "windows"])
def test_pixel_matrices_are_the_pixels_in_any_layout(shape: tuple[int, ...], layout: str) -> None:
    b, c, h, w = shape
    cube = torch.randn(b, c, h, 2 * w)[..., :w]
    if layout == "contiguous":
        cube = cube.contiguous()
    elif layout == "channels last":
        cube = cube.contiguous(memory_format=torch.channels_last)
    matrices = pixel_matrices(cube)
    if layout != "windows":  # nothing is copied
        assert all(
            matrix.untyped_storage().data_ptr() == cube.untyped_storage().data_ptr() for matrix in matrices
        )
    expected = torch.stack([cube[i, :, y, x] for i in range(b) for y in range(h) for x in range(w)])
    assert torch.equal(torch.cat(matrices), expected)
    affine = random_map(2, c, 0, dtype=torch.float32)
    plain = affine.on_cube(cube.contiguous(memory_format=torch.channels_last))
    assert torch.equal(affine.on_cube(cube), plain)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (0, 2, 3, 1)], ids=["BSQ", "BIL", "BIP"])
@pytest.mark.parametrize("k", [1, 6])
def test_mapped_cubes_have_the_same_bits_in_any_interleave(order: tuple[int, ...], k: int) -> None:
    cube = torch.randn(2, 9, 5, 130, generator=torch.Generator().manual_seed(0))
    stored = cube.permute(order).contiguous().permute(*torch.tensor(order).argsort().tolist())
    affine = random_map(k, 9, 0, dtype=torch.float32)
    rows = torch.cat([one.permute(1, 2, 0).reshape(-1, 9) for one in cube])
    expected = (rows.double() - affine.center) @ affine.weight.double().T + affine.bias
    found = affine.on_cube(stored, lambda mapped: mapped.square().sum(1, keepdim=True))
    torch.testing.assert_close(
        pixels_of(found).double(), expected.square().sum(1, keepdim=True), rtol=1e-5, atol=1e-5
    )
    in_rows = cube.contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, affine.on_cube(in_rows, lambda mapped: mapped.square().sum(1, keepdim=True)))


def test_lines_are_views_of_interleaved_cubes() -> None:
    cube = torch.randn(2, 3, 4, 5)
    for lines, n in (
        (pixel_lines(cube), 20),
        (pixel_lines(cube.transpose(1, 2).contiguous().transpose(1, 2)), 5),
    ):
        assert lines is not None
        assert lines.shape == (40 // n, 3, n)
        assert torch.equal(lines.transpose(1, 2).reshape(2, 4, 5, 3), cube.permute(0, 2, 3, 1))
    assert pixel_lines(cube.contiguous(memory_format=torch.channels_last)) is None
    assert pixel_lines(cube[..., :4]) is None
