"""The base of all statistics: a mergeable summary of a stream of pixels.

A sketch can be updated block by block, merged with another of its kind (from another worker,
rank or half of the data) and, where that is exact, carried through an affine map. The same
objects serve the statistical phase, the metrics of an epoch and the ranks of a distributed run.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats.blocks import block_length
from cuvis_ai.types import PixelMatrix

PixelFlags = Bool[Tensor, " n"]

PixelTruth = Bool[Tensor, " n"] | Float[Tensor, " n"]
"""Which pixels are anomalies: a flag, or a weight that is above 0 for an anomaly and 0 otherwise."""


class Structure(IntEnum):
    """How a map acts on the spectrum, from the most general to the most special.

    Example:
        >>> Structure.CHANNELWISE > Structure.DENSE  # more special
        True
    """

    OPAQUE = 0
    """Anything: nothing can be carried through it."""
    DENSE = 1
    """Affine: each output channel is a combination of all input channels."""
    CHANNELWISE = 2
    """Affine, each output channel from the same input channel alone."""
    NOTHING = 3
    """No map at all: for a sketch that can only be taken where it is wanted."""


NO_CHANNELS = torch.empty(0, dtype=torch.float64)
"""A channel statistic before the first pixel; never written to."""


class Sketch(ABC):
    """A mergeable summary of a stream of pixels; ranks exchange it pickled.

    A pixel that is not `valid`, or has a non-finite band, is passed over. `merge` of two parts
    equals, to rounding, the sketch of the whole, for any split and order.

    Example:
        >>> from cuvis_ai.stats.extrema import Extrema
        >>> first, second = Extrema(), Extrema()
        >>> first.update(torch.tensor([[1.0], [2.0]]))
        >>> second.update(torch.tensor([[5.0], [float("nan")]]))  # a pixel without data is passed over
        >>> merged = first.merge(second)
        >>> merged.count, merged.high.item()
        (3, 5.0)
    """

    carried_by: ClassVar[Structure]
    """The most general maps through which `through` is exact."""

    least_count: ClassVar[int] = 1
    """Pixels below which nothing can be fitted."""

    sees_truth: ClassVar[bool] = False
    """Whether a node that is fitted from it needs the class of each pixel, from the training masks."""

    divisible: ClassVar[bool] = True
    """Whether several threads may each have one of their own; not for a sketch that holds every pixel."""

    weighs_regions: ClassVar[bool] = False
    """Whether `truth` must be the regions' weights, so that anomalies wait until their region is complete."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Pixels seen."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of the pixels seen; 0 before the first."""

    @abstractmethod
    def update(
        self, pixels: PixelMatrix, valid: PixelFlags | None = None, truth: PixelTruth | None = None
    ) -> None:
        """Take in pixels (n, c): those where `valid` holds, with their true class where it is used.

        Nothing given is kept: its memory may be written to afterwards.

        Args:
            pixels: one spectrum a row.
            valid: False where a pixel holds no data.
            truth: anomalies, flagged or by weight; a sketch that has no use for classes ignores it.
        """

    @abstractmethod
    def merge(self, other: Self) -> Self:
        """Return the sketch of both streams; neither is changed."""

    def through(self, affine: Affine) -> Self:
        """Return the sketch of the mapped stream, exact for maps as special as `carried_by`."""
        raise GraphError(
            f"{type(self).__name__}: expected to be taken where it is wanted, got a map to be carried "
            "through. Observe the output of the node whose values are meant."
        )

    def check_channels(self, got: int) -> None:
        """Raise a `GraphError` if pixels have other channels than those before."""
        if self.count and got != self.channels:
            raise GraphError(
                f"statistics: expected {self.channels} channels, as in the cubes before, got {got}. "
                f"All cubes of a data set need the same bands."
            )


@dataclass(eq=False)
class PixelSketch(Sketch):
    """A sketch that makes no difference between normal and anomalous pixels.

    State:
        count: pixels seen.
    """

    count: int = 0

    @override
    def update(
        self, pixels: PixelMatrix, valid: PixelFlags | None = None, truth: PixelTruth | None = None
    ) -> None:
        pixels = selected(pixels.detach(), valid)
        if len(pixels) == 0:
            return
        self.check_channels(pixels.shape[1])
        if not self._take(pixels):
            self.update(pixels[torch.isfinite(pixels).all(1)])

    @abstractmethod
    def _take(self, pixels: PixelMatrix) -> bool:
        """Take in pixels (n, c) if all are finite; return whether they are."""

    @override
    def merge(self, other: Self) -> Self:
        if not (self.count and other.count):
            return copy(self if self.count else other)
        return self._merged(other)

    @abstractmethod
    def _merged(self, other: Self) -> Self:
        """Return the sketch of both streams, neither of which is empty."""


def selected(values: Tensor, valid: PixelFlags | None, buffer: Tensor | None = None) -> Tensor:
    """Return the values (n, ...) of valid pixels: all of them as they are, or a copy of some in `buffer`."""
    if valid is None or bool(valid.all()):
        return values
    rows = valid.nonzero()[:, 0].to(values.device)
    return torch.index_select(values, 0, rows, out=None if buffer is None else buffer[: len(rows)])


def update_all(
    sketches: Iterable[Sketch],
    pixels: PixelMatrix,
    valid: PixelFlags | None = None,
    truth: PixelTruth | None = None,
) -> None:
    """Update several sketches with the same pixels, block by block, so that each block is read once.

    Example:
        >>> from cuvis_ai.stats.extrema import Extrema
        >>> sketches = [Extrema(), Extrema()]
        >>> update_all(sketches, torch.tensor([[1.0], [4.0]]))
        >>> [sketch.high.item() for sketch in sketches]
        [4.0, 4.0]
    """
    sketches = list(sketches)
    length = block_length(pixels)
    pixels = pixels.detach()
    # Allocating memory for each block costs more than the copy into it.
    buffer = None if valid is None else torch.empty_like(pixels[:length])
    for start in range(0, len(pixels), length):
        block = slice(start, start + length)
        here = None if valid is None else valid[block]
        chosen = selected(pixels[block], here, buffer)
        its_truth = None if truth is None else selected(truth[block], here)
        for sketch in sketches:
            sketch.update(chosen, None, its_truth)
