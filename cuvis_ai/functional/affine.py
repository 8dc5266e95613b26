"""Affine maps of the spectrum, y = W (x - center) + bias: how they act, compose and stack.

Chains of fitted nodes fold into one such map, so a whole chain costs one matrix product. The
fold keeps the first center: subtracting it from the raw values is exact or nearly so, whereas a
bias-only form W x + b cancels large numbers (mean 2e4, spread 15: 2e-4 lost against 1.5e-7).
Where the first center is small, it costs a pass over the data and saves nothing: then it goes.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from cuvis_ai.functional.pixel_products import Head, headed, product
from cuvis_ai.types import CubeTensor, MappedCube, PixelMatrix

SLACK = 2.0
"""How much the center may add to what a product rounds anyway, see `Affine.after`."""

GRADIENT_SLACK = 8.0
"""The same in steps of training: three bits of 24."""


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

    @cached_property
    def centred(self) -> bool:
        """Whether something is subtracted at all."""
        return bool(self.center.count_nonzero())

    @cached_property
    def biased(self) -> bool:
        """Whether something is added at all."""
        return bool(self.bias.count_nonzero())

    def matrix(self) -> Float[Tensor, "k c"]:
        """W as a matrix, also for a channelwise map."""
        return torch.diag(self.weight) if self.channelwise else self.weight

    def double(self) -> "Affine":
        """The same map in float64 on the CPU, still attached to its parameters."""
        weight, center, bias = (x.cpu().double() for x in (self.weight, self.center, self.bias))
        return Affine(weight, center, bias)

    def to(self, dtype: torch.dtype) -> "Affine":
        """The same map, rounded to a dtype."""
        return Affine(self.weight.to(dtype), self.center.to(dtype), self.bias.to(dtype))

    def after(self, inner: "Affine | None", slack: float = SLACK) -> "Affine":
        """The map x -> self(inner(x)); it keeps the center of `inner`, unless that saves no digits.

        W (D (x - c) - m) rounds at the size of |W| |m|, which is taken off behind the product. With c
        moved there too, |W| |D c| is added: the center goes where that is at most `slack` times as much.
        """
        if inner is None:
            return self
        with _without_autocast(self.weight):
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

    def __call__(self, pixels: PixelMatrix, head: Head | None = None) -> Float[Tensor, "n k"]:
        """Return the mapped pixels behind `head`, in the weights' dtype whatever autocast says."""
        with _without_autocast(pixels):
            pixels = pixels.to(self.weight.dtype)
            if pixels.is_cpu and not self.channelwise:
                parts = (self.weight, self.center, self.bias)
                return product(pixels, *parts, head, centred=self.centred, biased=self.biased)
            centred = pixels - self.center
            if self.channelwise:
                mapped = torch.addcmul(self.bias, centred, self.weight)
            else:
                mapped = torch.addmm(self.bias, centred, self.weight.T)
            return mapped if head is None else headed(mapped, head)

    def on_cube(self, cube: CubeTensor, head: Head | None = None) -> MappedCube:
        """Return the mapped cube (b, k, h, w) behind `head`, channels-last as its input."""
        b, _, h, w = cube.shape
        return cube_of(self(pixels_of(cube), head), b, h, w)


def _without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context in which products keep their dtype; entering one costs as much as a small product."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


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
