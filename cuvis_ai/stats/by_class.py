"""One sketch of normal and one of anomalous pixels."""

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats.moments import ChannelMoments
from cuvis_ai.stats.sketch import PixelFlags, PixelTruth, Sketch, Structure
from cuvis_ai.types import PixelMatrix


class ByClass(Sketch):
    """Two sketches of one kind, of the normal and of the anomalous pixels; without truth all are normal.

    State:
        normal, anomalous: the sketches.
        truth_known: whether some pixels came with their truth.
    """

    kind: ClassVar[type[Sketch]]
    """The class of both."""

    def __init__(self) -> None:
        self.normal, self.anomalous = self.kind(), self.kind()
        self.truth_known = False

    @property
    def count(self) -> int:
        """Pixels seen."""
        return self.normal.count + self.anomalous.count

    @property
    def channels(self) -> int:
        """Channels of the pixels seen; 0 before the first."""
        return max(self.normal.channels, self.anomalous.channels)

    def update(
        self, pixels: PixelMatrix, valid: PixelFlags | None = None, truth: PixelTruth | None = None
    ) -> None:
        """Take in pixels (n, c), each with its class."""
        if truth is None:
            self.normal.update(pixels, valid)
            return
        self.truth_known = True
        valid = torch.ones_like(truth, dtype=torch.bool) if valid is None else valid
        self.normal.update(pixels, valid & (truth <= 0))
        self.anomalous.update(pixels, valid & (truth > 0))

    def merge(self, other: Self) -> Self:
        """Return the sketches of both streams."""
        return self._of(
            self.normal.merge(other.normal),
            self.anomalous.merge(other.anomalous),
            truth_known=self.truth_known or other.truth_known,
        )

    def through(self, affine: Affine) -> Self:
        """Return the sketches of the mapped stream."""
        parts = (part.through(affine) if part.count else part for part in (self.normal, self.anomalous))
        return self._of(*parts, truth_known=self.truth_known)

    def tensors(self) -> tuple[Tensor, ...]:
        """Whether truth is known; the tensors of the normal sketch, then as many of the anomalous one."""
        return (torch.tensor(self.truth_known), *self.normal.tensors(), *self.anomalous.tensors())

    def restored(self, tensors: Sequence[Tensor]) -> Self:
        """Return sketches that hold what `tensors` gave."""
        half = 1 + len(tensors) // 2
        parts = (self.normal.restored(tensors[1:half]), self.anomalous.restored(tensors[half:]))
        return self._of(*parts, truth_known=bool(tensors[0]))

    def _of(self, normal: Sketch, anomalous: Sketch, *, truth_known: bool) -> Self:
        new = type(self)()
        new.normal, new.anomalous, new.truth_known = normal, anomalous, truth_known
        return new


class ChannelMomentsByClass(ByClass):
    """Mean and variance of each channel, by class."""

    kind = ChannelMoments
    carried_by = Structure.CHANNELWISE
    normal: ChannelMoments
    anomalous: ChannelMoments
