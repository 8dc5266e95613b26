"""Moments of normal and of anomalous pixels, side by side."""

from dataclasses import dataclass, field
from typing import ClassVar, Generic, Self, TypeVar

import torch
from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats.moments import CentredMoments, ChannelMoments, Moments
from cuvis_ai.stats.sketch import PixelFlags, PixelTruth, Sketch, Structure
from cuvis_ai.types import PixelMatrix

M = TypeVar("M", bound=CentredMoments)


@dataclass(eq=False)
class ByClass(Sketch, Generic[M]):
    """Moments by class; without truth all pixels are normal.

    State:
        normal, anomalous: the moments.
        truth_known: whether some pixels came with their truth.
    """

    sees_truth: ClassVar[bool] = True
    least_count: ClassVar[int] = 2
    normal: M
    anomalous: M
    truth_known: bool = False

    @property
    @override
    def count(self) -> int:
        return self.normal.count + self.anomalous.count

    @property
    @override
    def channels(self) -> int:
        return max(self.normal.channels, self.anomalous.channels)

    def whole(self) -> M:
        """Return the moments of both classes together."""
        return self.normal.merge(self.anomalous)

    def both(self, where: str, source: str = "masks") -> tuple[M, M]:
        """Return the moments of normal and of anomalous pixels.

        Args:
            where: what is fitted, for messages.
            source: what of the batches says which pixels are anomalous.

        Raises:
            GraphError: there are none of a class.
        """
        if not (self.normal.count and self.anomalous.count):
            missing = "normal" if self.anomalous.count else "anomalous"
            known = "" if self.truth_known else f": no batch has {source}"
            raise GraphError(
                f"{where}: expected anomalous and normal pixels in the training {source}, got no {missing} "
                f"one among {self.count} valid pixels{known}. Give the training data {source} that mark some "
                f"pixels, or choose another split."
            )
        return self.normal, self.anomalous

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


@dataclass(eq=False)
class ChannelMomentsByClass(ByClass[ChannelMoments]):
    """Mean and variance of each channel, by class.

    Example:
        >>> sketch = ChannelMomentsByClass()
        >>> sketch.update(torch.tensor([[1.0], [3.0], [9.0]]), truth=torch.tensor([False, False, True]))
        >>> sketch.normal.mean.item(), sketch.anomalous.mean.item()
        (2.0, 9.0)
    """

    carried_by: ClassVar[Structure] = Structure.CHANNELWISE
    normal: ChannelMoments = field(default_factory=ChannelMoments)
    anomalous: ChannelMoments = field(default_factory=ChannelMoments)


@dataclass(eq=False)
class MomentsByClass(ByClass[Moments]):
    """Mean and covariance, by class.

    Example:
        >>> sketch = MomentsByClass()
        >>> sketch.update(torch.tensor([[0.0], [2.0], [9.0]]), truth=torch.tensor([False, False, True]))
        >>> sketch.normal.covariance().tolist(), sketch.whole().count
        ([[2.0]], 3)
    """

    carried_by: ClassVar[Structure] = Structure.DENSE
    normal: Moments = field(default_factory=Moments)
    anomalous: Moments = field(default_factory=Moments)
