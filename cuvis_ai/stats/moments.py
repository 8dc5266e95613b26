"""Count, mean and scatter of a stream of pixels, in float64.

Covariances of real scenes have condition numbers of 1e8: float32 sums, or Σx² − (Σx)²/n, lose
the small eigenvalues. Each block is therefore shifted by the mean of the pixels before it, and its
sums are merged with theirs.

Reference: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", 1979, eq. 2.1.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats.blocks import all_finite, as_array, mean_of, subtract
from cuvis_ai.stats.sketch import NO_CHANNELS, PixelSketch, Structure
from cuvis_ai.types import PixelMatrix


@dataclass(eq=False)
class CentredMoments(PixelSketch):
    """Count n, mean m and a centred second moment S; what S is, the two kinds below decide.

    State:
        mean (c,): float64; empty before the first pixel.
        second: S, float64; empty before the first pixel.
    """

    least_count: ClassVar[int] = 2
    mean: Float[Tensor, " c"] = NO_CHANNELS
    second: Tensor = NO_CHANNELS
    _scratch: Float[Tensor, " m"] = field(default=NO_CHANNELS, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the memory that blocks share: a copy has its own."""
        return {**vars(self), "_scratch": NO_CHANNELS}

    @staticmethod
    @abstractmethod
    def _second_of(pixels: Float[Tensor, "n c"]) -> Tensor:
        """Return S of pixels whose mean is taken as zero, on the CPU."""

    @staticmethod
    @abstractmethod
    def _outer(delta: Float[Tensor, " c"]) -> Tensor:
        """Return S of a single pixel at `delta`."""

    @property
    @override
    def channels(self) -> int:
        return len(self.mean)

    @np.errstate(invalid="ignore", over="ignore")  # sums of non-finite pixels are looked at, then left out
    @override
    def _take(self, pixels: PixelMatrix) -> bool:
        """Take in pixels (n, c) if all are finite; return whether they are.

        With shifted pixels y = x − m and their mean d, S grows by Σ y yᵀ − d dᵀ n² / (N + n), which
        equals a merge with the block's own centred moments and loses no more digits.
        """
        shifted, mean = self._shifted(pixels)
        delta = mean_of(shifted)
        if not (all_finite(delta) or bool(torch.isfinite(pixels).all())):
            return False
        n = len(pixels)
        total = self.count + n
        second = self._second_of(shifted)
        if self.count:
            second += self.second
        self.second = second.sub_(self._outer(delta), alpha=n * (n / total))
        self.mean = mean + delta * (n / total)
        self.count = total
        return True

    def _shifted(self, pixels: PixelMatrix) -> tuple[Float[Tensor, "n c"], Float[Tensor, " c"]]:
        """Return the pixels less the mean so far, or their own, in float64; and that mean.

        On the CPU they lie in memory that the next block's take over, in the layout of the pixels.
        """
        if pixels.is_cuda:
            copy = pixels.double()
            mean = self.mean if self.count else mean_of(copy)
            return copy.sub_(mean.to(copy.device)), mean
        copy = self._buffer_for(pixels)
        np.copyto(copy.numpy(), as_array(pixels))
        mean = self.mean if self.count else mean_of(copy)
        subtract(copy.numpy(), mean.numpy(), out=copy.numpy())
        return copy, mean

    def _buffer_for(self, pixels: PixelMatrix) -> Float[Tensor, "n c"]:
        n, channels = pixels.shape
        if self._scratch.numel() < n * channels:
            self._scratch = torch.empty(n * channels, dtype=torch.float64)
        flat = self._scratch[: n * channels]
        return flat.view(n, channels) if pixels.stride(1) == 1 else flat.view(channels, n).T

    @override
    def _merged(self, other: Self) -> Self:
        total = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / total)
        second = self.second + other.second + self._outer(delta) * (self.count * other.count / total)
        return type(self)(total, mean, second)

    @override
    def through(self, affine: Affine) -> Self:
        """Return the moments after an affine map, W (m − center) + bias and W S Wᵀ; differentiable."""
        affine = affine.double()
        mean = affine.linear(self.mean - affine.center) + affine.bias
        return type(self)(self.count, mean, self._mapped_second(affine.weight))

    @abstractmethod
    def _mapped_second(self, weight: Tensor) -> Tensor:
        """Return S after a map of that weight."""


class Moments(CentredMoments):
    """Moments with the full scatter, S = Σ (x − m)(x − m)ᵀ of shape (c, c).

    Example:
        >>> moments = Moments()
        >>> moments.update(torch.tensor([[0.0, 0.0], [2.0, 4.0]]))
        >>> moments.mean.tolist(), moments.covariance().tolist()
        ([1.0, 2.0], [[2.0, 4.0], [4.0, 8.0]])
    """

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

    @override
    def _mapped_second(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return weight[:, None] * self.second * weight
        return weight @ self.second @ weight.T


class ChannelMoments(CentredMoments):
    """Moments with channel sums of squares alone, S = Σ (x − m)² of shape (c,).

    Example:
        >>> half, rest = ChannelMoments(), ChannelMoments()
        >>> half.update(torch.tensor([[1.0], [3.0]]))
        >>> rest.update(torch.tensor([[5.0], [7.0]]))
        >>> whole = half.merge(rest)
        >>> whole.mean.item(), whole.variance(ddof=0).item()
        (4.0, 5.0)
    """

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

    @override
    def _mapped_second(self, weight: Tensor) -> Tensor:
        return weight.square() * self.second
