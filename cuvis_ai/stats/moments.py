"""Count, mean and scatter of a stream of pixels, in float64.

Covariances of real scenes have condition numbers of 1e8: float32 sums, or Σx² − (Σx)²/n, lose
the small eigenvalues. Each block is therefore shifted by the mean of the pixels before it, and its
sums are merged with theirs.

Reference: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", 1979, eq. 2.1.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats.blocks import all_finite, as_array, mean_of, subtract
from cuvis_ai.stats.sketch import PixelFlags, PixelTruth, Sketch, Structure, finite_rows, selected
from cuvis_ai.types import PixelMatrix


class CentredMoments(Sketch):
    """Count n, mean m and a centred second moment S; what S is, the two kinds below decide.

    State:
        mean (c,): float64; empty before the first pixel.
        second: S, float64; empty before the first pixel.
    """

    least_count: ClassVar[int] = 2

    def __init__(self) -> None:
        self._count = 0
        self.mean: Float[Tensor, " c"] = torch.empty(0, dtype=torch.float64)
        self.second: Tensor = torch.empty(0, dtype=torch.float64)
        self._scratch: Float[Tensor, " m"] = torch.empty(0, dtype=torch.float64)

    @staticmethod
    @abstractmethod
    def _second_of(pixels: Float[Tensor, "n c"]) -> Tensor:
        """Return S of pixels whose mean is taken as zero, on the CPU."""

    @staticmethod
    @abstractmethod
    def _outer(delta: Float[Tensor, " c"]) -> Tensor:
        """Return S of a single pixel at `delta`."""

    @property
    def count(self) -> int:
        """Pixels seen."""
        return self._count

    @property
    def channels(self) -> int:
        """Channels of the pixels seen; 0 before the first."""
        return len(self.mean)

    @np.errstate(invalid="ignore", over="ignore")  # sums of non-finite pixels are looked at, then left out
    def update(
        self, pixels: PixelMatrix, valid: PixelFlags | None = None, truth: PixelTruth | None = None
    ) -> None:
        """Take in pixels (n, c).

        With shifted pixels y = x − m and their mean d, S grows by Σ y yᵀ − d dᵀ n² / (N + n), which
        equals a merge with the block's own centred moments and loses no more digits.
        """
        pixels = selected(pixels.detach(), valid)
        n = len(pixels)
        if n == 0:
            return
        self.check_channels(pixels.shape[1])
        shifted, mean = self._shifted(pixels)
        delta = mean_of(shifted)
        if not all_finite(delta) and len(clean := finite_rows(pixels)) < n:
            self.update(clean)
            return
        total = self._count + n
        second = self._second_of(shifted)
        if self._count:
            second += self.second
        self.second = second.sub_(self._outer(delta), alpha=n * (n / total))
        self.mean = mean + delta * (n / total)
        self._count = total

    def _shifted(self, pixels: PixelMatrix) -> tuple[Float[Tensor, "n c"], Float[Tensor, " c"]]:
        """Return the pixels less the mean so far, or their own, in float64; and that mean.

        On the CPU they lie in memory that the next block's take over, in the layout of the pixels.
        """
        if pixels.is_cuda:
            copy = pixels.double()
            mean = self.mean if self._count else mean_of(copy)
            return copy.sub_(mean.to(copy.device)), mean
        copy = self._buffer_for(pixels)
        np.copyto(copy.numpy(), as_array(pixels))
        mean = self.mean if self._count else mean_of(copy)
        subtract(copy.numpy(), mean.numpy(), out=copy.numpy())
        return copy, mean

    def _buffer_for(self, pixels: PixelMatrix) -> Float[Tensor, "n c"]:
        n, channels = pixels.shape
        if self._scratch.numel() < n * channels:
            self._scratch = torch.empty(n * channels, dtype=torch.float64)
        flat = self._scratch[: n * channels]
        return flat.view(n, channels) if pixels.stride(1) == 1 else flat.view(channels, n).T

    def merge(self, other: Self) -> Self:
        """Return the moments of both streams."""
        if not (self.count and other.count):
            return self if self.count else other
        total = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / total)
        second = self.second + other.second + self._outer(delta) * (self.count * other.count / total)
        return self.restored((torch.tensor(total), mean, second))

    def tensors(self) -> tuple[Tensor, ...]:
        """Count, mean, S."""
        return torch.tensor(self.count), self.mean, self.second

    def restored(self, tensors: Sequence[Tensor]) -> Self:
        """Return moments that hold (count, mean, S)."""
        new = type(self)()
        count, new.mean, new.second = tensors
        new._count = int(count)
        return new


class Moments(CentredMoments):
    """Moments with the full scatter, S = Σ (x − m)(x − m)ᵀ of shape (c, c)."""

    carried_by: ClassVar[Structure] = Structure.DENSE

    def covariance(self, ddof: int = 1) -> Float[Tensor, "c c"]:
        """S / (n − ddof); ddof = 1 is the unbiased estimate."""
        return self.second / (self.count - ddof)

    @staticmethod
    def _second_of(pixels: Float[Tensor, "n c"]) -> Tensor:
        if pixels.is_cpu:
            # NumPy takes BLAS' symmetric product here, half the work of torch's general one.
            array = pixels.numpy()
            return torch.from_numpy(array.T @ array)
        return (pixels.T @ pixels).cpu()

    @staticmethod
    def _outer(delta: Float[Tensor, " c"]) -> Tensor:
        return torch.outer(delta, delta)

    def through(self, affine: Affine) -> Self:
        """Return the moments behind an affine map, W (m − center) + bias and W S Wᵀ; differentiable."""
        affine = affine.double()
        if affine.channelwise:
            mean = affine.weight * (self.mean - affine.center) + affine.bias
            second = affine.weight[:, None] * self.second * affine.weight
        else:
            mean = affine.weight @ (self.mean - affine.center) + affine.bias
            second = affine.weight @ self.second @ affine.weight.T
        return self.restored((torch.tensor(self.count), mean, second))


class ChannelMoments(CentredMoments):
    """Moments with channel sums of squares alone, S = Σ (x − m)² of shape (c,)."""

    carried_by: ClassVar[Structure] = Structure.CHANNELWISE

    def variance(self, ddof: int = 1) -> Float[Tensor, " c"]:
        """S / (n − ddof); ddof = 1 is the unbiased estimate."""
        return self.second / (self.count - ddof)

    @staticmethod
    def _second_of(pixels: Float[Tensor, "n c"]) -> Tensor:
        return torch.einsum("nc,nc->c", pixels, pixels).cpu()

    @staticmethod
    def _outer(delta: Float[Tensor, " c"]) -> Tensor:
        return delta.square()

    def through(self, affine: Affine) -> Self:
        """Return the moments behind a channelwise map."""
        affine = affine.double()
        mean = affine.weight * (self.mean - affine.center) + affine.bias
        return self.restored((torch.tensor(self.count), mean, affine.weight.square() * self.second))
