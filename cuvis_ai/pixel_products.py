"""Products of many pixels with one small matrix, (x - center) Wᵀ + bias, near the speed of reading memory.

Centred pixels are held block by block, so they stay in the processor's cache. The forms of the products are
those that MKL shares among threads: with four or more rows on the left and pixels in columns it does not, nor
where it sums over pixels (2.0 against 0.5 ms, 5.1 against 2.9 ms on two cores).

May import: `types`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from cuvis_ai.types import CubeTensor, MappedCube, PixelMatrix

BLOCK_BYTES = 2**21
"""Size of a block of centred pixels."""

FEW = 3
"""Up to so many channels, pixels in columns are faster for the product, and much so for what follows."""

PIECES = 8
"""Into how many parts a sum over pixels is cut, for threads to share."""

Head = Callable[[CubeTensor], MappedCube]
"""What a node does behind its map, to each pixel by itself."""


class Manner(NamedTuple):
    """How a product is computed: the same with gradients and without, for the same numbers to the last bit.

    Attributes:
        length: pixels in a block.
        centred: whether a center is subtracted.
        biased: whether a bias is added.
        in_columns: whether the result holds pixels in columns, (k, n).
    """

    length: int
    centred: bool
    biased: bool
    in_columns: bool


def product(
    pixels: PixelMatrix,
    weight: Float[Tensor, "k c"],
    center: Float[Tensor, " c"],
    bias: Float[Tensor, " k"],
    head: Head | None,
    *,
    centred: bool,
    biased: bool,
) -> Float[Tensor, "n j"]:
    """Return head((pixels - center) weightᵀ + bias).

    Args:
        pixels: a row each; on the CPU.
        weight: W.
        center: what is subtracted from each pixel.
        bias: what is added to each product.
        head: what is applied to the product block by block, or None.
        centred: whether `center` holds anything but zeros.
        biased: whether `bias` does.
    """
    (n, c), k = pixels.shape, len(weight)
    # Neither the centred pixels nor a wide matrix that the head reads are held as a whole.
    by_blocks = centred or (head is not None and 4 * k > c)
    length = BLOCK_BYTES // (pixels.element_size() * c) + 1 if by_blocks else max(n, 1)
    manner = Manner(length, centred, biased, in_columns=k <= FEW)
    operands = (pixels, weight, center, bias)
    if torch.is_grad_enabled() and any(operand.requires_grad for operand in operands):
        whole: Tensor = _Product.apply(*operands, manner)  # type: ignore[no-untyped-call]  # torch
        # By the same blocks, for the same numbers.
        blocks: Iterable[Tensor] = [whole] if head is None else whole.split(length, int(manner.in_columns))
    else:
        blocks = _blocks(*operands, manner)
    if head is None:
        joined = _joined(list(blocks), int(manner.in_columns))
        return joined.T if manner.in_columns else joined
    return _joined([headed(block, head, in_columns=manner.in_columns) for block in blocks], 0)


def headed(block: Tensor, head: Head, *, in_columns: bool = False) -> Float[Tensor, "m j"]:
    """Return what a head makes of a block of pixels, which it sees as a cube of one line."""
    shape = (1, block.shape[0], 1, block.shape[1]) if in_columns else (1, 1, *block.shape)
    cube = block.view(shape) if in_columns else block.view(shape).permute(0, 3, 1, 2)
    return head(cube)[0, :, 0].T


def _joined(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _blocks(
    pixels: PixelMatrix,
    weight: Float[Tensor, "k c"],
    center: Float[Tensor, " c"],
    bias: Float[Tensor, " k"],
    manner: Manner,
) -> Iterator[Float[Tensor, "..."]]:
    """Yield the product block by block, (m, k) or (k, m)."""
    if manner.in_columns:
        for block in _centred(pixels, center, manner):
            projected = torch.mm(weight, block.T)
            yield projected.add_(bias[:, None]) if manner.biased else projected
        return
    transposed = weight.T.contiguous()
    for block in _centred(pixels, center, manner):
        projected = torch.mm(block, transposed)
        yield projected.add_(bias) if manner.biased else projected


def _centred(
    pixels: PixelMatrix, center: Float[Tensor, " c"], manner: Manner
) -> Iterator[Float[Tensor, "m c"]]:
    """Yield the centred pixels block by block, in memory that the next block takes over."""
    if not manner.centred:
        yield from pixels.split(manner.length) if len(pixels) > manner.length else [pixels]
        return
    scratch = pixels.new_empty(min(manner.length, len(pixels)), pixels.shape[1])
    for block in pixels.split(manner.length):
        yield torch.sub(block, center, out=scratch[: len(block)])


class _Product(torch.autograd.Function):
    """The product with gradients; nothing centred is kept for them."""

    @staticmethod
    def forward(
        ctx: Any,
        pixels: PixelMatrix,
        weight: Float[Tensor, "k c"],
        center: Float[Tensor, " c"],
        bias: Float[Tensor, " k"],
        manner: Manner,
    ) -> Float[Tensor, "..."]:
        ctx.save_for_backward(pixels, weight, center)
        ctx.manner = manner
        return _joined(list(_blocks(pixels, weight, center, bias, manner)), int(manner.in_columns))

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Float[Tensor, "..."]
    ) -> tuple[Tensor | None, Tensor, Tensor, Tensor, None]:
        pixels, weight, center = ctx.saved_tensors
        in_rows = gradient.T if ctx.manner.in_columns else gradient
        of_weight, start = torch.zeros_like(weight), 0
        for block in _centred(pixels, center, ctx.manner):
            of_weight += _sum_of_outer_products(in_rows[start : start + len(block)], block)
            start += len(block)
        of_bias = in_rows.sum(0)
        of_pixels = in_rows @ weight if ctx.needs_input_grad[0] else None
        return of_pixels, of_weight, -of_bias @ weight, of_bias, None


def _sum_of_outer_products(a: Float[Tensor, "m k"], b: Float[Tensor, "m c"]) -> Float[Tensor, "k c"]:
    """Return aᵀ b."""
    whole = len(a) // PIECES * PIECES
    of_a, of_b = (x[:whole].unflatten(0, (PIECES, whole // PIECES)) for x in (a, b))
    return torch.bmm(of_a.transpose(1, 2), of_b).sum(0).addmm_(a[whole:].T, b[whole:])
