"""Whatever the manner, a product and its gradients are those of the plain formula."""

import itertools

import pytest
import torch
from torch import Tensor

from cuvis_ai.functional import pixel_products
from cuvis_ai.functional.pixel_products import FEW, FEW_FOR_HEAD, product

CHANNELS = 7


def squares(y: Tensor) -> Tensor:
    """A head of one channel."""
    return y.square().sum(1, keepdim=True)


def pairs(y: Tensor) -> Tensor:
    """A head of two channels."""
    return torch.cat([squares(y), y.amax(1, keepdim=True)], 1)


def operands(n: int, k: int, *, centred: bool, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((n, CHANNELS), (k, CHANNELS), (CHANNELS,), (k,))
    made = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return [*made[:2], made[2] * centred, made[3]]


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_products, "BLOCK_BYTES", 8 * CHANNELS * 100)


@pytest.mark.parametrize("n", [1, 7, 8, 101, 1000])
@pytest.mark.parametrize("k", [1, FEW, FEW + 1, FEW_FOR_HEAD, FEW_FOR_HEAD + 1])
@pytest.mark.parametrize("head", [None, squares, pairs])
def test_product_and_gradients_are_those_of_the_formula(
    n: int, k: int, head: pixel_products.Head | None
) -> None:
    for centred, biased in itertools.product((False, True), (False, True)):
        made = operands(n, k, centred=centred, dtype=torch.float64)
        made[3] = made[3] * biased
        ours, plain = ([x.clone().requires_grad_() for x in made] for _ in range(2))
        pixels, weight, center, bias = plain
        expected = (pixels - center) @ weight.T + bias
        if head is not None:
            expected = head(expected[:, :, None, None])[:, :, 0, 0]
        got = product(*ours, head, centred=centred, biased=biased)
        torch.testing.assert_close(got, expected)
        with torch.no_grad():
            assert torch.equal(product(*made, head, centred=centred, biased=biased), got)
        factors = torch.randn(expected.shape, dtype=torch.float64)
        (got * factors).sum().backward()
        (expected * factors).sum().backward()
        for mine, other in zip(ours, plain, strict=True):
            torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("k", [2, 10, 30])
def test_pixels_may_lie_in_columns(k: int) -> None:
    made = operands(101, k, centred=True, dtype=torch.float32)
    plain = product(*made, squares, centred=True, biased=True)
    strided = [made[0].T.contiguous().T, *made[1:]]
    torch.testing.assert_close(product(*strided, squares, centred=True, biased=True), plain)
    torch.testing.assert_close(
        product(*strided, None, centred=False, biased=True), made[0] @ made[1].T + made[3]
    )
