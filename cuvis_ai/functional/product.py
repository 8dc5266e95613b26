"""The product of many pixels with one small matrix, (x - center) Wᵀ + bias, with its gradients.

Centred pixels are made block by block, so that they stay in the processor's cache and a batch is never
held a second time. A block is multiplied in tiles of one shape, each a matrix of (channels, pixels), so
that a pixel's bits depend on its spectrum alone: not on its place, its neighbours, the batch or the memory
layout, nor on whether gradients are wanted. Zeros in the lower left of the matrix, such as those of an upper
triangle, are left out.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from cuvis_ai.types import CubeTensor, MappedCube, PixelMatrix

BLOCK_BYTES = 2**21
"""Size of a block of centred pixels."""

TILE_PIXELS = 64
"""Pixels of a tile on the CPU; a device takes all pixels as one."""

TILE_CHANNELS = 4
"""A tile has a multiple of so many output channels: MKL rounds otherwise by the place in the tile."""

LEFT_OUT = 64
"""Channels that are left out at a time: from 24 to 100 a scene is scored about as fast."""

Pointwise = Callable[[CubeTensor], MappedCube]
"""A function of each pixel separately."""

Tiles = Float[Tensor, "t k 1 p"]
"""Mapped pixels, as cubes of one line each."""


class RowBlock(NamedTuple):
    """Rows of a matrix that read the same channels."""

    rows: Float[Tensor, "j m"]
    """Those channels of them, and rows of zeros to a multiple of `TILE_CHANNELS`."""
    n: int
    """Rows without these."""
    first: int
    """The first channel that they read."""


def product(
    pixels: PixelMatrix,
    weight: Float[Tensor, "k c"],
    center: Float[Tensor, " c"],
    bias: Float[Tensor, " k"],
    after: Pointwise | None = None,
    blocks: Sequence[RowBlock] | None = None,
) -> Float[Tensor, "n j"]:
    """Return after((pixels - center) weightᵀ + bias).

    Args:
        pixels: a row each, in any memory layout.
        weight: W.
        center: what is subtracted from each pixel.
        bias: what is added to each product.
        after: a function of each pixel separately, applied block by block where no gradient is needed.
        blocks: `row_blocks(weight)`, where they are known.

    Example:
        >>> pixels, weight = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 2.0]])
        >>> product(pixels, weight, center=torch.ones(2), bias=torch.zeros(1)).tolist()  # 1 · 2 + 2 · 3
        [[8.0]]
    """
    blocks = row_blocks(weight) if blocks is None else blocks
    operands = (pixels, weight, center, bias)
    if torch.is_grad_enabled() and any(operand.requires_grad for operand in operands):
        parts = iter([_Product.apply(*operands, blocks)])  # type: ignore[no-untyped-call]  # torch
    else:
        parts = _products(pixels, blocks, center, bias)
    rows = [_rows(part if after is None else after(part)) for part in parts]
    return (rows[0] if len(rows) == 1 else torch.cat(rows))[: len(pixels)]


def line_product(
    lines: Float[Tensor, "g c n"],
    blocks: Sequence[RowBlock],
    center: Float[Tensor, " c"],
    bias: Float[Tensor, " k"],
    after: Pointwise | None = None,
) -> Float[Tensor, "m j"]:
    """Return the product of the g · n pixels of lines on the CPU, a row a channel, without gradients.

    They are multiplied as they lie, since turning them into rows takes as long as the product.

    Example:
        >>> lines, weight = torch.tensor([[[3.0], [4.0]]]), torch.tensor([[1.0, 2.0]])
        >>> line_product(
        ...     lines, row_blocks(weight), center=torch.ones(2), bias=torch.zeros(1)
        ... ).tolist()  # 1 · 2 + 2 · 3
        [[8.0]]
    """
    c, n = lines.shape[1:]
    length = max(1, BLOCK_BYTES // (lines.element_size() * c * TILE_PIXELS)) * TILE_PIXELS
    buffer = lines.new_zeros(c, min(length, n + -n % TILE_PIXELS))
    rows = []
    for line in lines:
        for start in range(0, n, length):
            size = min(length, n - start)
            torch.sub(line[:, start : start + size], center[:, None], out=buffer[:, :size])
            tiles = _tiles_of(buffer[:, : size + -size % TILE_PIXELS])
            part = _multiplied(blocks, tiles, bias)
            rows.append(_rows(part if after is None else after(part))[:size])
    return torch.cat(rows)


def rounds_alike_in_lines(blocks: Sequence[RowBlock]) -> bool:
    """Return whether products with a matrix have the same bits here for pixels in rows and in lines.

    MKL's do with AVX2 in float32, and do not in float64 or in its mode for old processors.

    Example:
        >>> rounds_alike_in_lines(
        ...     row_blocks(torch.ones(1, 1))
        ... )  # one channel, no sum whose order could differ
        True
    """
    return all(_round_alike(*block.rows.shape, block.rows.dtype) for block in blocks)


@cache
def _round_alike(k: int, c: int, dtype: torch.dtype) -> bool:
    """Return whether k × c products do, k being a multiple of `TILE_CHANNELS`."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(8, TILE_PIXELS, c, generator=generator, dtype=dtype)
    weight = torch.randn(k, c, generator=generator, dtype=dtype).expand(8, -1, -1)
    expected = torch.bmm(weight, rows.mT)
    line = rows.permute(2, 0, 1).reshape(c, -1)
    # Few tiles may be multiplied by another routine than many.
    parts = [line[:, : n * TILE_PIXELS].contiguous() for n in (1, 2, 8)]
    products = [torch.bmm(weight[: len(tiles)], tiles) for tiles in map(_tiles_of, parts)]
    return all(torch.equal(part, expected[: len(part)]) for part in products)


def row_blocks(weight: Float[Tensor, "k c"]) -> list[RowBlock]:
    """Return the rows in order, in blocks that leave out channels which neither they nor later rows read.

    Example:
        >>> triangle = torch.ones(128, 128).triu()
        >>> [(block.n, block.first) for block in row_blocks(triangle)]
        [(64, 0), (64, 64)]
    """
    weight = weight.detach()
    # Looking at it on a device would make the host wait.
    if not weight.is_cpu or not len(weight) or bool(weight[-1, :LEFT_OUT].any()):
        return [RowBlock(_padded(weight), len(weight), 0)]
    zeros = ((weight != 0).cumsum(1) == 0).sum(1)  # at the start of each row
    unread = zeros.flip(0).cummin(0).values.flip(0).clamp(max=weight.shape[1] - 1)
    counts = torch.unique_consecutive(unread // LEFT_OUT, return_counts=True)[1].tolist()
    # The first reads all channels, so that a pixel that is not finite in any of them shows in the product.
    firsts = [0, *(int(unread[n]) // LEFT_OUT * LEFT_OUT for n in accumulate(counts[:-1]))]
    return [
        RowBlock(_padded(rows[:, first:]), len(rows), first)
        for rows, first in zip(weight.split(counts), firsts, strict=True)
    ]


def _multiplied(
    blocks: Sequence[RowBlock], tiles: Float[Tensor, "t c p"], bias: Float[Tensor, " k"]
) -> Tiles:
    """Return the product of all rows with tiles of centred pixels, plus the bias."""
    parts = [
        torch.bmm(block.rows.expand(len(tiles), -1, -1), tiles[:, block.first :])[:, : block.n]
        for block in blocks
    ]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
    return whole.add_(bias[:, None])[:, :, None]


def _padded(weight: Float[Tensor, "k c"]) -> Float[Tensor, "j c"]:
    return functional.pad(weight, (0, 0, 0, -len(weight) % TILE_CHANNELS))


def _tiles_of(line: Float[Tensor, "c n"]) -> Float[Tensor, "t c p"]:
    return line.view(len(line), -1, TILE_PIXELS).transpose(0, 1)


def _rows(tiles: Tiles) -> Float[Tensor, "m k"]:
    return tiles.permute(0, 2, 3, 1).reshape(-1, tiles.shape[1])


def _products(
    pixels: PixelMatrix,
    blocks: Sequence[RowBlock],
    center: Float[Tensor, " c"],
    bias: Float[Tensor, " k"],
) -> Iterator[Tiles]:
    """Yield the product block by block, the last one with its padding."""
    for pixels_of_block, _ in _centred_blocks(pixels, center):
        tiles = pixels_of_block.view(-1, _tile_pixels(pixels), pixels.shape[1])
        yield _multiplied(blocks, tiles.mT, bias)


def _tile_pixels(pixels: PixelMatrix) -> int:
    return TILE_PIXELS if pixels.is_cpu else max(len(pixels), 1)


def _centred_blocks(
    pixels: PixelMatrix, center: Float[Tensor, " c"]
) -> Iterator[tuple[Float[Tensor, "p c"], slice]]:
    """Yield the centred pixels of each block, padded, in memory that is used again; and its place."""
    n, c = pixels.shape
    tile = _tile_pixels(pixels)
    length = max(1, BLOCK_BYTES // (pixels.element_size() * c * tile)) * tile
    # A row each in every layout of the pixels.
    buffer = pixels.new_empty(min(length, max(n, 1) + -max(n, 1) % tile), c)
    for start in range(0, max(n, 1), length):
        block = pixels[start : start + length]
        size = len(block)
        torch.sub(block, center, out=buffer[:size])
        padded = buffer[: max(size, 1) + -max(size, 1) % tile]
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
        blocks: Sequence[RowBlock],
    ) -> Tiles:
        ctx.save_for_backward(pixels, weight, center)
        return torch.cat(list(_products(pixels, blocks, center, bias)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_tiles: Tiles) -> tuple[Tensor | None, Tensor, Tensor, Tensor, None]:
        pixels, weight, center = ctx.saved_tensors
        gradient = _rows(of_tiles)[: len(pixels)]
        of_weight, of_bias = torch.zeros_like(weight), gradient.sum(0)
        for block, here in _centred_blocks(pixels, center):
            of_weight.addmm_(gradient[here].T, block[: here.stop - here.start])
        of_pixels = gradient @ weight if ctx.needs_input_grad[0] else None
        return of_pixels, of_weight, -of_bias @ weight, of_bias, None
