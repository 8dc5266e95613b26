"""Affine maps of the spectrum, y = W (x - center) + bias: how they act, compose and stack.

Chains of fitted nodes fold into one such map, so a whole chain costs one matrix product. The
fold keeps the first center: subtracting it from the raw values is exact or nearly so, whereas a
bias-only form W x + b cancels large numbers (mean 2e4, spread 15: 2e-4 lost against 1.5e-7).
Where the first center is small, it costs a pass over the data and saves nothing: then it goes.

May import: `types`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from cuvis_ai.types import CubeTensor, MappedCube, PixelMatrix

BLOCK_BYTES = 2**22
"""Size of a block of centred pixels: it stays in the processor's cache."""

GRADIENT_SLACK = 8.0
"""How much more a product may round in steps of training than in scores: three bits of 24."""

Head = Callable[[CubeTensor], MappedCube]
"""What a node does behind its map, to each pixel by itself."""


@dataclass(frozen=True)
class Affine:
    """The map y = W (x - center) + bias from c channels to k channels.

    Attributes:
        weight: (k, c), or (c,) for a channelwise map, that is a diagonal W.
        center: (c,), subtracted first.
        bias: (k,), added last.
    """

    weight: Float[Tensor, "k c"] | Float[Tensor, " c"]
    center: Float[Tensor, " c"]
    bias: Float[Tensor, " k"]

    @property
    def channelwise(self) -> bool:
        """Whether each output channel depends on the same input channel alone."""
        return self.weight.ndim == 1

    @property
    def in_channels(self) -> int:
        """c."""
        return self.center.shape[0]

    @property
    def out_channels(self) -> int:
        """k."""
        return self.bias.shape[0]

    def matrix(self) -> Float[Tensor, "k c"]:
        """W as a matrix, also for a channelwise map."""
        return torch.diag(self.weight) if self.channelwise else self.weight

    def double(self) -> "Affine":
        """The same map in float64 on the CPU, still attached to its parameters."""
        weight, center, bias = (x.cpu().double() for x in (self.weight, self.center, self.bias))
        return Affine(weight, center, bias)

    def after(self, inner: "Affine | None", slack: float = 1.0) -> "Affine":
        """The map x -> self(inner(x)); it keeps the center of `inner`, unless that saves no digits.

        W (D (x - c) - m) rounds at the size of |W| |m|, which is taken off behind the product. With c
        moved there too, |W| |D c| is added: the center goes where that is at most `slack` times as much.
        """
        if inner is None:
            return self
        with torch.autocast(self.weight.device.type, enabled=False):
            if self._loses_little_of(inner, slack):
                moved = inner.weight * inner.center
                inner = Affine(inner.weight, torch.zeros_like(inner.center), inner.bias - moved)
            if self.channelwise:
                scale = self.weight if inner.channelwise else self.weight[:, None]
                weight = scale * inner.weight
            else:
                weight = self.weight * inner.weight if inner.channelwise else self.weight @ inner.weight
            return Affine(weight, inner.center, self._linear(inner.bias - self.center) + self.bias)

    @torch.no_grad()
    def _loses_little_of(self, inner: "Affine", slack: float) -> bool:
        """Whether the center of `inner` can be taken off in the bias."""
        if self.channelwise or not inner.channelwise or not self.weight.is_cpu:
            return False
        sizes = self.weight.abs() @ torch.stack((inner.weight * inner.center, self.center), 1).abs()
        return bool((sizes[:, 0] <= slack * sizes[:, 1]).all())

    def _linear(self, x: Float[Tensor, " c"]) -> Float[Tensor, " k"]:
        return self.weight * x if self.channelwise else self.weight @ x

    def __call__(self, pixels: PixelMatrix) -> Float[Tensor, "n k"]:
        """Return the mapped pixels, in the weights' dtype whatever autocast says."""
        return self._mapped(pixels, None)[0]

    def on_cube(self, cube: CubeTensor, head: Head | None = None) -> MappedCube:
        """Return the mapped cube (b, k, h, w), channels-last as its input, behind `head` if there is one."""
        return self.on_cube_and_sum(cube, head)[0]

    def on_cube_and_sum(
        self, cube: CubeTensor, head: Head | None = None
    ) -> tuple[MappedCube, Float[Tensor, ""]]:
        """Return that, and a sum that is not finite if some mapped value, before the head, is not."""
        b, _, h, w = cube.shape
        pixels, total = self._mapped(pixels_of(cube), head)
        return cube_of(pixels, b, h, w), total

    def _mapped(
        self, pixels: PixelMatrix, head: Head | None
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, ""]]:
        with torch.autocast(pixels.device.type, enabled=False):
            pixels = pixels.to(self.weight.dtype)
            if self.channelwise or not pixels.is_cpu:
                projected = self._product(pixels - self.center)
                return _headed(projected, head), projected.detach().sum()
            parts = (pixels, self.weight, self.center, self.bias)
            by_channels = head is not None
            # Neither the centred pixels nor a wide matrix that the head reads are held as a whole.
            wide = by_channels and 4 * self.out_channels > self.in_channels
            length = _block_length(pixels) if wide or bool(self.center.count_nonzero()) else len(pixels)
            if torch.is_grad_enabled() and any(x.requires_grad for x in parts):
                projected = _BlockedProduct.apply(*parts, length, by_channels)  # type: ignore[no-untyped-call]  # torch
                total = projected.detach().sum()
                if head is None:
                    return projected, total
                # By the same blocks, for the same numbers to the last bit.
                return torch.cat(
                    [_headed_by_channels(part, head) for part in projected.split(length, 1)]
                ), total
            results, sums = [], []
            for block in _centred_blocks(pixels, self.center, length):
                projected = _projected(block, self.weight, self.bias, by_channels)
                sums.append(projected.sum())
                results.append(projected if head is None else _headed_by_channels(projected, head))
            return (results[0] if len(results) == 1 else torch.cat(results)), torch.stack(sums).sum()

    def _product(self, centred: PixelMatrix) -> Float[Tensor, "n k"]:
        if self.channelwise:
            return torch.addcmul(self.bias, centred, self.weight)
        return torch.addmm(self.bias, centred, self.weight.T)


def _headed(projected: Float[Tensor, "n k"], head: Head | None) -> Float[Tensor, "n j"]:
    """Return what a head makes of projected pixels."""
    return projected if head is None else pixels_of(head(cube_of(projected, 1, len(projected), 1)))


def _headed_by_channels(projected: Float[Tensor, "k n"], head: Head) -> Float[Tensor, "n j"]:
    return pixels_of(head(projected[None, :, :, None]))


def _projected(
    block: PixelMatrix, weight: Float[Tensor, "k c"], bias: Float[Tensor, " k"], by_channels: bool
) -> Float[Tensor, "..."]:
    """Return the product (n, k), or (k, n), with which for few channels product and head are faster."""
    if by_channels:
        return torch.mm(weight, block.T).add_(bias[:, None])
    return torch.addmm(bias, block, weight.T)


def _block_length(pixels: PixelMatrix) -> int:
    return BLOCK_BYTES // (pixels.element_size() * pixels.shape[1]) + 1


def _centred_blocks(
    pixels: PixelMatrix, center: Float[Tensor, " c"], length: int
) -> Iterator[Float[Tensor, "m c"]]:
    """Yield the centred pixels block by block, in memory that the next block takes over."""
    pixels, center = pixels.detach(), center.detach()
    if not bool(center.count_nonzero()):
        yield from pixels.split(length)
        return
    scratch = pixels.new_empty(min(length, len(pixels)), pixels.shape[1])
    for block in pixels.split(length):
        yield torch.sub(block, center, out=scratch[: len(block)])


class _BlockedProduct(torch.autograd.Function):
    """The map with gradients, with the very numbers that it gives without; nothing centred is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        pixels: PixelMatrix,
        weight: Float[Tensor, "k c"],
        center: Float[Tensor, " c"],
        bias: Float[Tensor, " k"],
        length: int,
        by_channels: bool,
    ) -> Float[Tensor, "..."]:
        ctx.save_for_backward(pixels, weight, center)
        ctx.length, ctx.by_channels = length, by_channels
        blocks = _centred_blocks(pixels, center, length)
        parts = [_projected(block, weight, bias, by_channels) for block in blocks]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1 if by_channels else 0)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, gradient: Float[Tensor, "..."]
    ) -> tuple[Tensor | None, Tensor, Tensor, Tensor, None, None]:
        pixels, weight, center = ctx.saved_tensors
        of_channels = gradient if ctx.by_channels else gradient.T
        of_weight, start = torch.zeros_like(weight), 0
        for block in _centred_blocks(pixels, center, ctx.length):
            of_weight.addmm_(of_channels[:, start : start + len(block)], block)
            start += len(block)
        of_bias = of_channels.sum(1)
        of_pixels = of_channels.T @ weight if ctx.needs_input_grad[0] else None
        return of_pixels, of_weight, -of_bias @ weight, of_bias, None, None


def stack(maps: Sequence[Affine]) -> Affine:
    """Return the map whose output is the concatenation of the maps' outputs on one input."""
    if len(maps) == 1:
        return maps[0]
    center = maps[0].center
    weight = torch.cat([m.matrix() for m in maps])
    bias = torch.cat([m.bias + m._linear(center - m.center) for m in maps])
    return Affine(weight, center, bias)


def identity_like(center: Float[Tensor, " c"]) -> Affine:
    """Return the channelwise map y = x, centred at zero, with the dtype and device of `center`."""
    return Affine(torch.ones_like(center), torch.zeros_like(center), torch.zeros_like(center))


def pixels_of(cube: CubeTensor) -> PixelMatrix:
    """Return the cube's pixels as rows: a view if the cube is channels-last."""
    return cube.permute(0, 2, 3, 1).reshape(-1, cube.shape[1])


def cube_of(pixels: Float[Tensor, "n k"], b: int, h: int, w: int) -> MappedCube:
    """Return rows of pixels as a channels-last cube (b, k, h, w), a view."""
    return pixels.view(b, h, w, -1).permute(0, 3, 1, 2)
