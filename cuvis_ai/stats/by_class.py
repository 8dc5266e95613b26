"""Moments of normal and of anomalous pixels, side by side."""

from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from typing_extensions import override

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats.moments import ChannelMoments
from cuvis_ai.stats.sketch import PixelFlags, PixelTruth, Sketch, Structure
from cuvis_ai.types import PixelMatrix


@dataclass(eq=False)
class ChannelMomentsByClass(Sketch):
    """Mean and variance of each channel, by class; without truth all pixels are normal.

    State:
        normal, anomalous: the moments.
        truth_known: whether some pixels came with their truth.
    """

    carried_by: ClassVar[Structure] = Structure.CHANNELWISE
    normal: ChannelMoments = field(default_factory=ChannelMoments)
    anomalous: ChannelMoments = field(default_factory=ChannelMoments)
    truth_known: bool = False

    @property
    @override
    def count(self) -> int:
        return self.normal.count + self.anomalous.count

    @property
    @override
    def channels(self) -> int:
        return max(self.normal.channels, self.anomalous.channels)

    @override
    def update(
        self, pixels: PixelMatrix, valid: PixelFlags | None = None, truth: PixelTruth | None = None
    ) -> None:
        if truth is None:
            self.normal.update(pixels, valid)
            return
        self.truth_known = True
        valid = torch.ones_like(truth, dtype=torch.bool) if valid is None else valid
        self.normal.update(pixels, valid & (truth <= 0))
        self.anomalous.update(pixels, valid & (truth > 0))

    @override
    def merge(self, other: Self) -> Self:
        return type(self)(
            self.normal.merge(other.normal),
            self.anomalous.merge(other.anomalous),
            self.truth_known or other.truth_known,
        )

    @override
    def through(self, affine: Affine) -> Self:
        normal, anomalous = (
            part.through(affine) if part.count else part for part in (self.normal, self.anomalous)
        )
        return type(self)(normal, anomalous, self.truth_known)
