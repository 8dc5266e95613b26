"""The product of many pixels with one small matrix, (x - center) Wᵀ + bias, with its gradients.

Centred pixels are made block by block, so that they stay in the processor's cache and a batch is never
held a second time. Blocks are padded to whole tiles of the processor's product, so that a pixel's bits
depend on its spectrum alone: not on its place, its neighbours, the batch or the memory layout, nor on
whether gradients are wanted.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from cuvis_ai.types import PixelMatrix

BLOCK_BYTES = 2**21
"""Size of a block of centred pixels."""

TILE_PIXELS = 64
"""Blocks hold a multiple of so many pixels."""

TILE_CHANNELS = 16
"""Products have a multiple of so many output channels."""

After = Callable[[Float[Tensor, "m k"]], Float[Tensor, "m j"]]


def product(
    pixels: PixelMatrix,
    weight: Float[Tensor, "k c"],
    center: Float[Tensor, " c"],
    bias: Float[Tensor, " k"],
    after: After | None = None,
) -> Float[Tensor, "n j"]:
    """Return after((pixels - center) weightᵀ + bias).

    Args:
        pixels: a row each, in any memory layout.
        weight: W.
        center: what is subtracted from each pixel.
        bias: what is added to each product.
        after: a function of rows, applied block by block where no gradient is needed.
    """
    operands = (pixels, weight, center, bias)
    if torch.is_grad_enabled() and any(operand.requires_grad for operand in operands):
        mapped: Tensor = _Product.apply(*operands)  # type: ignore[no-untyped-call]  # torch
        return mapped if after is None else after(mapped)
    return _joined([part if after is None else after(part) for part in _parts(*operands)])


def _joined(parts: list[Float[Tensor, "..."]]) -> Float[Tensor, "n k"]:
    return parts[0].contiguous() if len(parts) == 1 else torch.cat(parts)


def _parts(
    pixels: PixelMatrix, weight: Float[Tensor, "k c"], center: Float[Tensor, " c"], bias: Float[Tensor, " k"]
) -> Iterator[Float[Tensor, "m k"]]:
    """Yield the product block by block."""
    k = len(weight)
    missing = -k % TILE_CHANNELS
    padded = functional.pad(weight, (0, 0, 0, missing)), functional.pad(bias, (0, missing))
    for block, here in _centred_blocks(pixels, center):
        whole = torch.addmm(padded[1], block, padded[0].T)
        yield whole[: here.stop - here.start, :k]


def _centred_blocks(
    pixels: PixelMatrix, center: Float[Tensor, " c"]
) -> Iterator[tuple[Float[Tensor, "p c"], slice]]:
    """Yield the centred pixels of each block, padded, in memory that is used again; and its place."""
    n, c = pixels.shape
    tiles = max(1, BLOCK_BYTES // (pixels.element_size() * c * TILE_PIXELS))
    length = tiles * TILE_PIXELS if pixels.is_cpu else max(n, 1)
    # A row each in every layout of the pixels.
    buffer = pixels.new_empty(min(length, n + -n % TILE_PIXELS), c)
    for start in range(0, max(n, 1), length):
        block = pixels[start : start + length]
        size = len(block)
        torch.sub(block, center, out=buffer[:size])
        padded = buffer[: size + -size % TILE_PIXELS]
        padded[size:] = 0
        yield padded, slice(start, start + size)


class _Product(torch.autograd.Function):
    """The product with gradients; nothing centred is held for them."""

    @staticmethod
    def forward(
        ctx: Any,
        pixels: PixelMatrix,
        weight: Float[Tensor, "k c"],
        center: Float[Tensor, " c"],
        bias: Float[Tensor, " k"],
    ) -> Float[Tensor, "n k"]:
        ctx.save_for_backward(pixels, weight, center)
        return _joined(list(_parts(pixels, weight, center, bias)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "n k"]) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        pixels, weight, center = ctx.saved_tensors
        of_weight, of_bias = torch.zeros_like(weight), gradient.sum(0)
        for block, here in _centred_blocks(pixels, center):
            of_weight.addmm_(gradient[here].T, block[: here.stop - here.start])
        of_pixels = gradient @ weight if ctx.needs_input_grad[0] else None
        return of_pixels, of_weight, -of_bias @ weight, of_bias
