"""The product and its gradients are those of the plain formula, whatever the blocks and layouts."""

import pytest
import torch
from torch import Tensor

from cuvis_ai.functional import product as module
from cuvis_ai.functional.product import Pointwise, line_product, product, rounds_alike_in_lines, row_blocks

CHANNELS = 7


def squares(y: Tensor) -> Tensor:
    return y.square().sum(1, keepdim=True)


def pairs(y: Tensor) -> Tensor:
    return torch.cat([squares(y), y.amax(1, keepdim=True)], 1)


def operands(n: int, k: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((n, CHANNELS), (k, CHANNELS), (CHANNELS,), (k,))
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * CHANNELS * 100)


@pytest.mark.parametrize("n", [1, 7, 8, 100, 101, 1000])
@pytest.mark.parametrize("k", [1, 3, 4, 20, 21])
@pytest.mark.parametrize("after", [None, squares, pairs])
def test_product_and_gradients_are_those_of_the_formula(n: int, k: int, after: Pointwise | None) -> None:
    made = operands(n, k, torch.float64)
    ours, plain = ([x.clone().requires_grad_() for x in made] for _ in range(2))
    pixels, weight, center, bias = plain
    expected = (pixels - center) @ weight.T + bias
    expected = expected if after is None else after(expected)
    got = product(*ours, after)
    torch.testing.assert_close(got, expected)
    factors = torch.randn(expected.shape, dtype=torch.float64)
    (got * factors).sum().backward()
    (expected * factors).sum().backward()
    for mine, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("k", [1, 3, 10, 30])
@pytest.mark.parametrize("after", [None, squares])
def test_product_has_the_same_bits_with_gradients_and_in_columns(k: int, after: Pointwise | None) -> None:
    pixels, *rest = operands(1001, k, torch.float32)
    expected = product(pixels, *rest, after)
    assert torch.equal(product(pixels.T.contiguous().T, *rest, after), expected)
    tracked = product(pixels, rest[0].clone().requires_grad_(), *rest[1:], after)
    assert tracked.requires_grad
    assert torch.equal(tracked.detach(), expected)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 1000])
@pytest.mark.parametrize("k", [1, 4, 21])
@pytest.mark.parametrize("after", [None, squares, pairs])
def test_product_of_lines_is_that_of_their_pixels(n: int, k: int, after: Pointwise | None) -> None:
    pixels, *rest = operands(3 * n, k, torch.float64)
    lines = pixels.view(3, n, CHANNELS).transpose(1, 2).contiguous()
    expected = (pixels - rest[1]) @ rest[0].T + rest[2]
    expected = expected if after is None else after(expected)
    torch.testing.assert_close(line_product(lines, row_blocks(rest[0]), *rest[1:], after), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lines_round_as_rows_do_where_it_is_said(dtype: torch.dtype) -> None:
    for k in (1, 10, 33):
        pixels, *rest = operands(1000, k, dtype)
        blocks = row_blocks(rest[0])
        lines = pixels.T.contiguous()[None]
        same = torch.equal(line_product(lines, blocks, *rest[1:]), product(pixels, *rest))
        assert same or not rounds_alike_in_lines(blocks)


STEPS = {
    "upper triangle": torch.ones(CHANNELS, CHANNELS).triu(),
    "below a full row": torch.cat([torch.ones(1, CHANNELS), torch.ones(CHANNELS, CHANNELS).triu()]),
    "a full row below": torch.cat([torch.ones(CHANNELS, CHANNELS).triu(), torch.ones(1, CHANNELS)]),
    "lower triangle": torch.ones(CHANNELS, CHANNELS).tril(),
    "first channels unread": torch.ones(3, CHANNELS).triu(4),
    "rows of zeros": torch.tensor([[0.0], [1.0], [0.0]]).expand(3, CHANNELS),
    "zeros": torch.zeros(2, CHANNELS),
}


@pytest.mark.parametrize("left_out", [1, 2, 3, 64])
@pytest.mark.parametrize("read", STEPS.values(), ids=STEPS.keys())
def test_zeros_of_the_weight_change_no_product(
    read: Tensor, left_out: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEFT_OUT", left_out)
    pixels, weight, center, bias = operands(300, len(read), torch.float64)
    weight *= read
    expected = (pixels - center) @ weight.T + bias
    torch.testing.assert_close(product(pixels, weight, center, bias), expected)
    torch.testing.assert_close(product(pixels, weight, center, bias, squares), squares(expected))
    torch.testing.assert_close(line_product(pixels.T[None], row_blocks(weight), center, bias), expected)


@pytest.mark.parametrize("channel", range(CHANNELS))
@pytest.mark.parametrize("read", STEPS.values(), ids=STEPS.keys())
def test_a_pixel_that_is_not_finite_shows_whatever_the_weight_reads(
    read: Tensor, channel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEFT_OUT", 2)
    pixels, weight, center, bias = operands(3, len(read), torch.float32)
    pixels[1, channel] = float("nan")
    finite = torch.isfinite(product(pixels, weight * read, center, bias)).all(1)
    assert finite.tolist() == [True, False, True]


def test_gradients_reach_entries_that_are_zero() -> None:
    pixels, weight, center, bias = operands(50, CHANNELS, torch.float64)
    ours, plain = (weight.triu().requires_grad_() for _ in range(2))
    product(pixels, ours, center, bias).square().sum().backward()
    ((pixels - center) @ plain.T + bias).square().sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad)


def test_product_of_no_pixel_is_empty() -> None:
    pixels, *rest = operands(0, 3, torch.float32)
    assert product(pixels, *rest).shape == (0, 3)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("k", [*range(1, 17), 33])
@pytest.mark.parametrize("triangular", [False, True])
def test_equal_spectra_have_equal_bits_at_every_place(
    k: int, threads: int, triangular: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEFT_OUT", 3)
    (spectrum,), weight, *rest = operands(1, k, torch.float32)
    rest = [weight.triu() if triangular else weight, *rest]
    expected = product(spectrum[None], *rest, squares)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for n in (2, 63, 65, 1000, 5001):
            pixels = spectrum.expand(n, -1)
            for same in (pixels.contiguous(), pixels.T.contiguous().T):
                assert bool((product(same, *rest, squares) == expected).all())
    finally:
        torch.set_num_threads(before)
