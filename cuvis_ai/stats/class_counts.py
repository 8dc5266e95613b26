"""Counts of normal and anomalous pixels."""

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats.sketch import PixelFlags, PixelTruth, Sketch, Structure
from cuvis_ai.types import PixelMatrix


class ClassCounts(Sketch):
    """Counts of valid pixels and of the anomalies among them.

    State:
        positive: anomalous pixels seen.
    """

    carried_by: ClassVar[Structure] = Structure.DENSE

    def __init__(self, count: int = 0, positive: int = 0, channels: int = 0) -> None:
        self._count = count
        self.positive = positive
        self._channels = channels

    @property
    def count(self) -> int:
        """Pixels seen."""
        return self._count

    @property
    def channels(self) -> int:
        """Channels of the pixels seen; 0 before the first."""
        return self._channels

    def update(
        self, pixels: PixelMatrix, valid: PixelFlags | None = None, truth: PixelTruth | None = None
    ) -> None:
        """Take in pixels (n, c) with their truth; pixels without truth are passed over."""
        if truth is None:
            return
        kept = torch.isfinite(pixels).all(1)
        if valid is not None:
            kept = kept & valid
        self._channels = pixels.shape[1]
        self._count += int(kept.sum())
        self.positive += int((truth.to(kept.device) > 0)[kept].sum())

    def merge(self, other: Self) -> Self:
        """Return the counts of both streams."""
        channels = max(self.channels, other.channels)
        return type(self)(self.count + other.count, self.positive + other.positive, channels)

    def through(self, affine: Affine) -> Self:
        """Return the same counts: an affine map moves no pixel to another class."""
        return type(self)(self.count, self.positive, affine.out_channels)

    def tensors(self) -> tuple[Tensor, ...]:
        """Pixels, anomalies and channels."""
        return (torch.tensor([self._count, self.positive, self._channels]),)

    def restored(self, tensors: Sequence[Tensor]) -> Self:
        """Return counts that hold what `tensors` gave."""
        return type(self)(*tensors[0].tolist())
