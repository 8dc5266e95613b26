"""Affine maps of the spectrum, y = W (x - center) + bias: how they act, compose and stack.

Chains of fitted nodes compose into one such map, so a whole chain costs one matrix product. The
composed map subtracts a spectrum near the mean from the raw values: exact or nearly so, whereas a
bias-only form W x + b cancels large numbers (mean 2e4, spread 15: 2e-4 lost against 1.5e-7).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from cuvis_ai.functional.product import (
    TILE_PIXELS,
    Pointwise,
    RowBlock,
    line_product,
    product,
    rounds_alike_in_lines,
    row_blocks,
)
from cuvis_ai.types import CubeTensor, MappedCube, PixelMatrix


@dataclass(frozen=True)
class Affine:
    """The map y = W (x - center) + bias from c channels to k channels.

    Attributes:
        weight: (k, c), or (c,) for a channelwise map, that is a diagonal W.
        center: (c,), subtracted first.
        bias: (k,), added last.

    Example:
        >>> twice = Affine(torch.full((2,), 2.0), torch.zeros(2), torch.zeros(2))
        >>> total = Affine(torch.ones(1, 2), torch.zeros(2), torch.ones(1))
        >>> total.after(twice)(torch.tensor([[1.0, 3.0]])).tolist()  # 2 · 1 + 2 · 3 + 1
        [[9.0]]
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
        """Number of channels that enter, c."""
        return self.center.shape[0]

    @property
    def out_channels(self) -> int:
        """Number of channels that leave, k."""
        return self.bias.shape[0]

    def matrix(self) -> Float[Tensor, "k c"]:
        """Return W as a matrix, also for a channelwise map."""
        return torch.diag(self.weight) if self.channelwise else self.weight

    def double(self) -> "Affine":
        """Return the same map in float64 on the CPU, still attached to its parameters."""
        return Affine(*(x.cpu().double() for x in (self.weight, self.center, self.bias)))

    def to(self, dtype: torch.dtype) -> "Affine":
        """Return the same map in a dtype; what its center is rounded by goes into the bias."""
        if dtype == self.center.dtype:
            return self
        center = self.center.to(dtype)
        bias = self.bias + self.linear(center.to(self.center.dtype) - self.center)
        return Affine(self.weight.to(dtype), center, bias.to(dtype))

    def after(self, inner: "Affine | None") -> "Affine":
        """Return the map x -> self(inner(x)).

        It has the center of `inner`; of a channelwise `inner` what that maps to the center of `self`: a
        normalizer's own center is an extreme, which may lie far from the spectra.
        """
        if inner is None:
            return self
        with _without_autocast(self.weight):
            bias = self.linear(inner.bias - self.center) + self.bias
            if self.channelwise:
                scale = self.weight if inner.channelwise else self.weight[:, None]
                return Affine(scale * inner.weight, inner.center, bias)
            if not inner.channelwise:
                return Affine(self.weight @ inner.weight, inner.center, bias)
            flat = inner.weight == 0
            step = (self.center - inner.bias) / inner.weight.masked_fill(flat, 1.0)
            center = inner.center + step.masked_fill(flat, 0.0)
            moved = inner.linear(center - inner.center) + inner.bias
            return Affine(self.weight * inner.weight, center, self.linear(moved - self.center) + self.bias)

    def linear(self, x: Float[Tensor, " c"]) -> Float[Tensor, " k"]:
        """Return W x for one spectrum."""
        return self.weight * x if self.channelwise else self.weight @ x

    def __call__(self, pixels: PixelMatrix, pointwise: Pointwise | None = None) -> Float[Tensor, "n j"]:
        """Return the mapped pixels after `pointwise`, in the weights' dtype whatever autocast says."""
        with _without_autocast(pixels):
            pixels = pixels.to(self.weight.dtype)
            if not self.channelwise:
                return product(pixels, self.weight, self.center, self.bias, pointwise, self._blocks)
            mapped = torch.addcmul(self.bias, pixels - self.center, self.weight)
            return mapped if pointwise is None else pixels_of(pointwise(mapped.T[None, :, None]))

    def on_cube(self, cube: CubeTensor, pointwise: Pointwise | None = None) -> MappedCube:
        """Return the mapped cube (b, k, h, w) after `pointwise`, channels-last."""
        b, _, h, w = cube.shape
        if (lines := self._lines_to_multiply(cube)) is not None:
            with _without_autocast(cube):
                rows = line_product(lines, self._blocks, self.center, self.bias, pointwise)
        else:
            mapped = [self(pixels, pointwise) for pixels in pixel_matrices(cube)]
            rows = mapped[0] if len(mapped) == 1 else torch.cat(mapped)
        return rows.view(b, h, w, -1).permute(0, 3, 1, 2)

    @cached_property
    def _blocks(self) -> list[RowBlock]:
        """The weight as products take it; a map serves many batches where weights stay as they are."""
        return row_blocks(self.weight)

    def _lines_to_multiply(self, cube: CubeTensor) -> Float[Tensor, "g c n"] | None:
        """Return the cube's lines of pixels, where they are to be multiplied as they lie."""
        operands = (cube, self.weight, self.center, self.bias)
        tracked = torch.is_grad_enabled() and any(operand.requires_grad for operand in operands)
        if tracked or self.channelwise or not cube.is_cpu or cube.dtype != self.weight.dtype:
            return None
        lines = pixel_lines(cube)
        if lines is None or lines.shape[2] < TILE_PIXELS:
            return None
        return lines if rounds_alike_in_lines(self._blocks) else None


def centred(
    weight: Float[Tensor, "k c"] | Float[Tensor, " c"],
    center: Float[Tensor, " c"],
    rest: Float[Tensor, " c"],
) -> Affine:
    """Return the map y = W (x - (center + rest)), where `rest` is what the center was rounded by.

    Example:
        >>> mean, rounded_by = torch.tensor([20000.0]), torch.tensor([0.0005])
        >>> centred(torch.ones(1), mean, rounded_by).bias.item() == -rounded_by.item()
        True
    """
    return Affine(weight, center, -(weight * rest if weight.ndim == 1 else weight @ rest))


def _without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context in which products keep their dtype; entering one costs as much as a small product."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def stack(maps: Sequence[Affine]) -> Affine:
    """Return the map whose output is the concatenation of the maps' outputs on one input.

    Example:
        >>> double = Affine(torch.full((1,), 2.0), torch.zeros(1), torch.zeros(1))
        >>> stack([double, identity_like(torch.zeros(1))])(torch.tensor([[3.0]])).tolist()
        [[6.0, 3.0]]
    """
    if len(maps) == 1:
        return maps[0]
    center = next((m.center for m in maps if not m.channelwise), maps[0].center)
    weight = torch.cat([m.matrix() for m in maps])
    bias = torch.cat([m.bias + m.linear(center - m.center) for m in maps])
    return Affine(weight, center, bias)


def identity_like(center: Float[Tensor, " c"]) -> Affine:
    """Return the channelwise map y = x, centred at zero, with the dtype and device of `center`.

    Example:
        >>> identity_like(torch.zeros(2))(torch.tensor([[3.0, 4.0]])).tolist()
        [[3.0, 4.0]]
    """
    return Affine(torch.ones_like(center), torch.zeros_like(center), torch.zeros_like(center))


def pixel_matrices(cube: CubeTensor) -> list[PixelMatrix]:
    """Return the batch's pixels as rows, views: one matrix if it is channels-last, else one a cube.

    The rows of a contiguous (c, h, w) cube are the columns of its (c, h · w) matrix: products take both.

    Example:
        >>> [pixels.shape for pixels in pixel_matrices(torch.zeros(2, 5, 3, 4))]
        [torch.Size([12, 5]), torch.Size([12, 5])]
    """
    channels = cube.shape[1]
    if cube.is_contiguous(memory_format=torch.channels_last):
        return [cube.permute(0, 2, 3, 1).reshape(-1, channels)]
    if not cube[0].is_contiguous():
        return [pixels_of(cube)]
    return [one.reshape(channels, -1).T for one in cube]


def pixel_lines(cube: CubeTensor) -> Float[Tensor, "g c n"] | None:
    """Return the batch's pixels as lines, a row a channel, a view; None if it lies otherwise.

    A contiguous cube is one line, one whose lines are interleaved by band (BIL) a line a row.

    Example:
        >>> cube = torch.zeros(2, 5, 3, 4)
        >>> pixel_lines(cube).shape, pixel_lines(cube.to(memory_format=torch.channels_last))
        (torch.Size([2, 5, 12]), None)
    """
    b, c, h, w = cube.shape
    if cube.is_contiguous(memory_format=torch.channels_last):
        return None
    if cube.is_contiguous():
        return cube.view(b, c, h * w)
    rows = cube.transpose(1, 2)
    return rows.view(b * h, c, w) if rows.is_contiguous() else None


def pixels_of(cube: CubeTensor) -> PixelMatrix:
    """Return the batch's pixels as rows of one matrix: a view if it is channels-last.

    Example:
        >>> pixels_of(torch.zeros(2, 5, 3, 4)).shape
        torch.Size([24, 5])
    """
    return cube.permute(0, 2, 3, 1).reshape(-1, cube.shape[1])
