"""Count, mean and scatter of a stream of pixels, in float64.

Covariances of real scenes have condition numbers of 1e8: float32 sums, or Σx² − (Σx)²/n, lose
the small eigenvalues. Each block is therefore centred on its own mean and merged pairwise.

Reference: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances", 1979, eq. 2.1.

May import: `stats.sketch`, `affine`, `types`.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from cuvis_ai.affine import Affine
from cuvis_ai.stats.sketch import PixelFlags, PixelTruth, Sketch, Structure, finite_rows
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

    @staticmethod
    @abstractmethod
    def _second_of(centred: Float[Tensor, "n c"]) -> Tensor:
        """Return S of pixels whose mean is zero, on the CPU."""

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

    def update(
        self, pixels: PixelMatrix, valid: PixelFlags | None = None, truth: PixelTruth | None = None
    ) -> None:
        """Take in pixels (n, c)."""
        pixels = pixels.detach()
        if valid is not None:
            pixels = finite_rows(pixels, valid)
        if len(pixels) == 0:
            return
        self.check_channels(pixels.shape[1])
        # Apple's devices have no float64.
        values = (pixels.cpu() if pixels.device.type == "mps" else pixels).double()
        mean = values.mean(0)
        if not torch.isfinite(mean).all() and len(clean := finite_rows(pixels, None)) < len(pixels):
            self.update(clean)
            return
        self._absorb(len(pixels), mean.cpu(), self._second_of(values - mean))

    def _absorb(self, count: int, mean: Tensor, second: Tensor) -> None:
        if self._count:
            total = self._count + count
            delta = mean - self.mean
            mean = self.mean + delta * (count / total)
            second = second + self.second + self._outer(delta) * (self._count * count / total)
            count = total
        self._count, self.mean, self.second = count, mean, second

    def merge(self, other: Self) -> Self:
        """Return the moments of both streams."""
        if not (self.count and other.count):
            return self if self.count else other
        merged = self.restored(self.tensors())
        merged._absorb(other.count, other.mean, other.second)
        return merged

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
    def _second_of(centred: Float[Tensor, "n c"]) -> Tensor:
        if centred.is_cpu:
            # NumPy takes BLAS' symmetric product here, half the work of torch's general one.
            array = centred.numpy()
            return torch.from_numpy(array.T @ array)
        return (centred.T @ centred).cpu()

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
    def _second_of(centred: Float[Tensor, "n c"]) -> Tensor:
        return torch.einsum("nc,nc->c", centred, centred).cpu()

    @staticmethod
    def _outer(delta: Float[Tensor, " c"]) -> Tensor:
        return delta.square()

    def through(self, affine: Affine) -> Self:
        """Return the moments behind a channelwise map."""
        affine = affine.double()
        mean = affine.weight * (self.mean - affine.center) + affine.bias
        return self.restored((torch.tensor(self.count), mean, affine.weight.square() * self.second))
