"""Channel minima and maxima of a stream of pixels."""

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats.blocks import all_finite, ends
from cuvis_ai.stats.sketch import PixelFlags, PixelTruth, Sketch, Structure, finite_rows, selected
from cuvis_ai.types import PixelMatrix


class Extrema(Sketch):
    """The least and the greatest value of each channel.

    State:
        low, high (c,): float64 on the CPU; empty before the first pixel.
    """

    carried_by: ClassVar[Structure] = Structure.CHANNELWISE

    def __init__(self) -> None:
        self._count = 0
        self.low: Float[Tensor, " c"] = torch.empty(0, dtype=torch.float64)
        self.high: Float[Tensor, " c"] = torch.empty(0, dtype=torch.float64)

    @property
    def count(self) -> int:
        """Pixels seen."""
        return self._count

    @property
    def channels(self) -> int:
        """Channels of the pixels seen; 0 before the first."""
        return len(self.low)

    def update(
        self, pixels: PixelMatrix, valid: PixelFlags | None = None, truth: PixelTruth | None = None
    ) -> None:
        """Take in pixels (n, c)."""
        pixels = selected(pixels.detach(), valid)
        if len(pixels) == 0:
            return
        self.check_channels(pixels.shape[1])
        low, high = ends(pixels)
        if not (all_finite(low) and all_finite(high)):
            self.update(finite_rows(pixels))
            return
        if self._count:
            low, high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        self.low, self.high = low, high
        self._count += len(pixels)

    def merge(self, other: Self) -> Self:
        """Return the extrema of both streams."""
        if not (self.count and other.count):
            return self if self.count else other
        count = torch.tensor(self.count + other.count)
        return self.restored(
            (count, torch.minimum(self.low, other.low), torch.maximum(self.high, other.high))
        )

    def through(self, affine: Affine) -> Self:
        """Return the extrema behind a channelwise map."""
        affine = affine.double()
        ends = [affine.weight * (end - affine.center) + affine.bias for end in (self.low, self.high)]
        return self.restored((torch.tensor(self.count), torch.minimum(*ends), torch.maximum(*ends)))

    def tensors(self) -> tuple[Tensor, ...]:
        """Count, low, high."""
        return torch.tensor(self.count), self.low, self.high

    def restored(self, tensors: Sequence[Tensor]) -> Self:
        """Return extrema that hold (count, low, high)."""
        new = type(self)()
        count, new.low, new.high = tensors
        new._count = int(count)
        return new
