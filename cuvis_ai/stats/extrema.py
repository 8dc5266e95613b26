"""Channel minima and maxima of a stream of pixels."""

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats.blocks import all_finite, ends
from cuvis_ai.stats.sketch import PixelFlags, PixelTruth, Sketch, Structure, finite_rows, selected
from cuvis_ai.types import PixelMatrix

_NO_CHANNELS = torch.empty(0, dtype=torch.float64)


class Extrema(Sketch):
    """The least and the greatest value of each channel.

    State:
        low, high (c,): float64 on the CPU; empty before the first pixel.
    """

    carried_by: ClassVar[Structure] = Structure.CHANNELWISE

    def __init__(self, count: int = 0, low: Tensor = _NO_CHANNELS, high: Tensor = _NO_CHANNELS) -> None:
        self._count = count
        self.low = low
        self.high = high

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
        whole = self.merge(type(self)(len(pixels), low, high))
        self._count, self.low, self.high = whole.count, whole.low, whole.high

    def merge(self, other: Self) -> Self:
        """Return the extrema of both streams."""
        if not (self.count and other.count):
            part = self if self.count else other
            return type(self)(part.count, part.low, part.high)
        low, high = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        return type(self)(self.count + other.count, low, high)

    def through(self, affine: Affine) -> Self:
        """Return the extrema after a channelwise map."""
        mapped = affine.double()(torch.stack([self.low, self.high]))
        return type(self)(self.count, mapped.amin(0), mapped.amax(0))

    def tensors(self) -> tuple[Tensor, ...]:
        """Count, low, high."""
        return torch.tensor(self.count), self.low, self.high

    def restored(self, tensors: Sequence[Tensor]) -> Self:
        """Return extrema that hold (count, low, high)."""
        count, low, high = tensors
        return type(self)(int(count), low, high)
