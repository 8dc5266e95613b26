"""The Reed-Xiaoli anomaly detector."""

import logging
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.functional.affine import Affine, centred
from cuvis_ai.functional.eigen import Whitening, cholesky_whitening, whitening
from cuvis_ai.functional.split_precision import joined, split
from cuvis_ai.node.base import AffineNode, FittedNode, check_channels, one_channel, require
from cuvis_ai.stats import Moments
from cuvis_ai.types import CubeTensor, MappedCube

logger = logging.getLogger(__name__)


class RXGlobal(FittedNode, AffineNode):
    """Scores each spectrum by its squared Mahalanobis distance from the training data.

    δ(x) = (x − μ)ᵀ (Σ + ρ I)⁻¹ (x − μ) with ρ = eps + shrinkage · tr Σ / c, computed as ‖L (x − μ)‖² with
    a whitening factor L from the float64 covariance (denominator n − 1): no inverse is formed, and float32
    scores agree with float64 ones. With ρ = 0 scores do not depend on the units of the bands, and a
    singular Σ is handled by the pseudo-inverse of its correlation matrix, whose rank and condition number
    are logged; a band whose deviation is below the rounding of its mean is constant and does not count.

    Shape:
        input (b, c, h, w) → output (b, 1, h, w); dtype and device kept.

    Args:
        eps: ridge on the covariance's diagonal, in squared units of the input; 0 or more. It
            depends on the scale of the data: 1e-6 is much after a `MinMaxNormalizer`.
        shrinkage: ridge as a share of the mean variance, tr Σ / c, added to `eps`; 0 or more. It does not
            depend on the scale of the data as a whole; 1e-3 helps with few pixels.
        trainable_stats: whether μ and L become parameters in the gradient phase.
        stats: "frozen" keeps μ and Σ as fitted, so they go stale when a node before this one is
            trained. "follow" derives them at every use, with gradients, from the moments of the
            training data upstream of all affine nodes: they are always those of the present weights.

    State:
        mu (c,): mean spectrum of the training data.
        mu_rest (c,): what it is rounded by.
        cov (c, c): their covariance, without the ridge.
        whitening (r, c): L, with r the rank.
        upstream_mean (2, m), upstream_cov (2, m, m): with "follow" the moments further upstream, each
            as a float32 number and what it lacks to the float64 one; else empty.

    Example:
        >>> rx, moments = RXGlobal(), Moments()
        >>> moments.update(torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]]))
        >>> rx.finalize(moments)  # mean 0, covariance 2/3 I
        >>> round(rx(torch.tensor([2.0, 0.0]).view(1, 2, 1, 1)).item(), 3)
        6.0

    Reference:
        Reed, Yu, "Adaptive multiple-band CFAR detection of an optical pattern with unknown spectral
        distribution", 1990, eq. 24; with the mean of the scene as in Chang, Chiang, 2002, eq. 2.
    """

    state_shapes: ClassVar = {
        "mu": "c",
        "mu_rest": "c",
        "cov": "c c",
        "whitening": "r c",
        "upstream_mean": "2 m",
        "upstream_cov": "2 m m",
    }
    trained_names = ("mu", "whitening")
    mu: Tensor
    mu_rest: Tensor
    cov: Tensor
    whitening: Tensor
    upstream_mean: Tensor
    upstream_cov: Tensor
    sketch = Moments
    out_channels = one_channel

    def __init__(
        self,
        eps: float = 0.0,
        *,
        shrinkage: float = 0.0,
        trainable_stats: bool = False,
        stats: Literal["frozen", "follow"] = "frozen",
    ) -> None:
        require(eps >= 0, "RXGlobal: eps", "0 or more", eps)
        require(shrinkage >= 0, "RXGlobal: shrinkage", "0 or more", shrinkage)
        require(
            not (trainable_stats and stats == "follow"),
            "RXGlobal: trainable_stats", "False with stats='follow', which derives them", trainable_stats,
        )  # fmt: skip
        super().__init__(trainable=trainable_stats)
        self.eps = eps
        self.shrinkage = shrinkage
        self.trainable_stats = trainable_stats
        self.stats = stats
        self.set_state(**self.initial_state())

    @override
    def initial_state(self) -> Mapping[str, Tensor]:
        if self.follows():
            return {}
        return {"upstream_mean": torch.empty(2, 0), "upstream_cov": torch.empty(2, 0, 0)}

    def follows(self) -> bool:
        """Return whether the statistics follow, with stats="follow"."""
        return self.stats == "follow"

    def remember(self, upstream: Moments) -> None:
        """Store the moments from which the statistics are derived."""
        self.set_state(
            upstream_mean=split(upstream.mean, self.mu.dtype),
            upstream_cov=split(upstream.covariance(), self.mu.dtype),
        )

    def _derived(self, path: Affine | None) -> Moments:
        """Return the moments of what enters now, as if of two pixels."""
        # covariance() divides by n − 1: with n = 2 the scatter is the covariance.
        upstream = Moments(2, joined(self.upstream_mean), joined(self.upstream_cov))
        if path is not None:
            check_channels(self, upstream.channels, path.in_channels)
        return upstream if path is None else upstream.through(path)

    def _ridge(self, covariance: Float[Tensor, "c c"]) -> Float[Tensor, ""]:
        """Return what is added to the covariance's diagonal: eps + shrinkage · tr Σ / c."""
        return self.eps + self.shrinkage * covariance.diagonal().mean()

    def followed(self, path: Affine | None) -> Affine:
        """Return L centred at μ of what enters now, with gradients to the nodes on the path."""
        now = self._derived(path)
        covariance = now.covariance()
        factor = cholesky_whitening(covariance, self._ridge(covariance), self.label).to(self.mu)
        center = now.mean.to(self.mu)
        return centred(factor, center, (now.mean - center.to(now.mean)).to(self.mu))

    def refresh(self, path: Affine | None) -> None:
        """Set μ, Σ and L to those of what enters now."""
        self._set(self._derived(path))

    @override
    def finalize(self, sketch: Moments) -> None:
        factor, condition = self._set(sketch)
        level = logging.INFO if len(factor) == sketch.channels else logging.WARNING
        logger.log(
            level, "  %s: covariance of rank %d of %d, condition number %.1e, from %d pixels",
            self.label, len(factor), sketch.channels, condition, sketch.count,
        )  # fmt: skip

    def _set(self, moments: Moments) -> Whitening:
        """Set μ, Σ and L to those of some moments."""
        covariance = moments.covariance()
        found = whitening(covariance, float(self._ridge(covariance)), self.mu.dtype, moments.mean)
        self.set_state(mu=moments.mean, cov=covariance, whitening=found.factor)
        return found

    @override
    def affine(self) -> Affine:
        return centred(self.whitening, self.mu, self.mu_rest)

    @override
    def pointwise(self, mapped: CubeTensor) -> MappedCube:
        return mapped.square().sum(1, keepdim=True)
