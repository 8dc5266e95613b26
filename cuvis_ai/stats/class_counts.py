"""Counts of normal and anomalous pixels."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from typing_extensions import override

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats.sketch import PixelFlags, PixelTruth, Sketch, Structure, selected
from cuvis_ai.types import PixelMatrix


@dataclass(eq=False)
class ClassCounts(Sketch):
    """Counts of valid pixels and of the anomalies among them; pixels without truth are passed over.

    State:
        count: pixels seen.
        positive: anomalous pixels seen.
        channels: channels of the pixels seen.

    Example:
        >>> counts = ClassCounts()
        >>> counts.update(torch.zeros(4, 1), truth=torch.tensor([False, True, False, False]))
        >>> counts.count, counts.positive
        (4, 1)
    """

    carried_by: ClassVar[Structure] = Structure.DENSE
    count: int = 0
    positive: int = 0
    channels: int = 0

    @override
    def update(
        self, pixels: PixelMatrix, valid: PixelFlags | None = None, truth: PixelTruth | None = None
    ) -> None:
        if truth is None:
            return
        self.channels = pixels.shape[1]
        positive = selected(truth, valid) > 0
        chosen = selected(pixels, valid)
        if not bool(chosen.sum().isfinite()):  # a look at each value takes far longer
            positive = positive.to(chosen.device)[torch.isfinite(chosen).all(1)]
        self.count += len(positive)
        self.positive += int(positive.sum())

    @override
    def merge(self, other: Self) -> Self:
        channels = max(self.channels, other.channels)
        return type(self)(self.count + other.count, self.positive + other.positive, channels)

    @override
    def through(self, affine: Affine) -> Self:
        """Return the same counts: an affine map moves no pixel to another class."""
        return type(self)(self.count, self.positive, affine.out_channels)
