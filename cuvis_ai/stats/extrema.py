"""Channel minima and maxima of a stream of pixels."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats.blocks import all_finite, ends
from cuvis_ai.stats.sketch import NO_CHANNELS, PixelSketch, Structure
from cuvis_ai.types import PixelMatrix


@dataclass(eq=False)
class Extrema(PixelSketch):
    """The least and the greatest value of each channel.

    State:
        low, high (c,): float64 on the CPU; empty before the first pixel.

    Example:
        >>> extrema = Extrema()
        >>> extrema.update(torch.tensor([[1.0, 5.0], [3.0, 4.0]]))
        >>> extrema.low.tolist(), extrema.high.tolist()
        ([1.0, 4.0], [3.0, 5.0])
    """

    carried_by: ClassVar[Structure] = Structure.CHANNELWISE
    low: Float[Tensor, " c"] = NO_CHANNELS
    high: Float[Tensor, " c"] = NO_CHANNELS

    @property
    @override
    def channels(self) -> int:
        return len(self.low)

    @override
    def _take(self, pixels: PixelMatrix) -> bool:
        low, high = ends(pixels)
        if not (all_finite(low) and all_finite(high)):
            return False
        whole = self.merge(type(self)(len(pixels), low, high))
        self.count, self.low, self.high = whole.count, whole.low, whole.high
        return True

    @override
    def _merged(self, other: Self) -> Self:
        low, high = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        return type(self)(self.count + other.count, low, high)

    @override
    def through(self, affine: Affine) -> Self:
        mapped = affine.double()(torch.stack([self.low, self.high]))
        return type(self)(self.count, mapped.amin(0), mapped.amax(0))
