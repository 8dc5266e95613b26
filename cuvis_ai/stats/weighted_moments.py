"""Mean and scatter of a stream of weighted pixels, in float64."""

import math
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.stats.blocks import block_length
from cuvis_ai.stats.sketch import NO_CHANNELS, PixelFlags, PixelTruth, Sketch, Structure
from cuvis_ai.types import PixelMatrix


@dataclass(eq=False)
class WeightedMoments(Sketch):
    """Sum of weights W, weighted mean m = Σ w x / W and scatter S = Σ w (x − m)(x − m)ᵀ.

    Blocks are merged as unweighted ones are, with the sums of weights in place of the counts.

    State:
        count: pixels seen, whatever their weights.
        weight: W.
        mean (c,), second (c, c): m and S, float64 on the CPU; empty before the first pixel.

    Example:
        >>> moments = WeightedMoments()
        >>> moments.update_weighted(torch.tensor([[0.0], [4.0]]), torch.tensor([3.0, 1.0]))
        >>> moments.mean.item()
        1.0

    Reference:
        Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979, eq. 2.1, with real counts.
    """

    carried_by: ClassVar[Structure] = Structure.NOTHING  # weights are of the pixels where they are taken
    count: int = 0
    weight: float = 0.0
    mean: Float[Tensor, " c"] = NO_CHANNELS
    second: Tensor = NO_CHANNELS

    @property
    @override
    def channels(self) -> int:
        return len(self.mean)

    def covariance(self) -> Float[Tensor, "c c"]:
        """S / W."""
        return self.second / self.weight

    @override
    def update(
        self, pixels: PixelMatrix, valid: PixelFlags | None = None, truth: PixelTruth | None = None
    ) -> None:
        weights = torch.ones(len(pixels), dtype=torch.float64) if valid is None else valid.double()
        self.update_weighted(pixels, weights)

    def update_weighted(self, pixels: PixelMatrix, weights: Float[Tensor, " n"]) -> None:
        """Take in pixels with weights of 0 or more; those of weight 0, or not finite, are passed over."""
        self.check_channels(pixels.shape[1])
        length = block_length(pixels)
        for some, theirs in zip(pixels.detach().split(length), weights.detach().split(length), strict=True):
            counted = theirs > 0
            if not math.isfinite(float(some.sum())):  # a sum costs less than looking at each value
                counted &= torch.isfinite(some).all(1)
            if not bool(counted.all()):
                some, theirs = some[counted], theirs[counted]
            if len(some):
                whole = self.merge(self._of(some.cpu().double(), theirs.cpu().double()))
                self.count, self.weight = whole.count, whole.weight
                self.mean, self.second = whole.mean, whole.second

    def _of(self, pixels: Float[Tensor, "n c"], weights: Float[Tensor, " n"]) -> Self:
        weight = float(weights.sum())
        mean = weights @ pixels / weight
        rooted = (pixels - mean) * weights.sqrt()[:, None]
        return type(self)(len(pixels), weight, mean, rooted.T @ rooted)

    @override
    def merge(self, other: Self) -> Self:
        if not (self.count and other.count):
            one = self if self.count else other
            return type(self)(one.count, one.weight, one.mean, one.second)
        weight = self.weight + other.weight
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.weight / weight)
        between = torch.outer(delta, delta) * (self.weight * other.weight / weight)
        return type(self)(self.count + other.count, weight, mean, self.second + other.second + between)
