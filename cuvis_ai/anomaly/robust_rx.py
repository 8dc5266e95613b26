"""The RX detector whose statistics leave out, by weight, what stands out."""

import logging
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import Affine, centred
from cuvis_ai.functional.eigen import whitening
from cuvis_ai.functional.filters import log_mean
from cuvis_ai.functional.morphology import top_hat
from cuvis_ai.node.base import AffineNode, FittedNode, one_channel, require
from cuvis_ai.stats import Moments, WeightedMoments
from cuvis_ai.types import CubeTensor, MappedCube, PixelMask

logger = logging.getLogger(__name__)


class RobustRX(FittedNode, AffineNode):
    """Scores each spectrum by its squared Mahalanobis distance from the background of the training data.

    D(y) = (y − m)ᵀ (C + ρ I)⁻¹ (y − m), with ρ = shrinkage · tr C₀ / k of the unweighted covariance C₀. m and
    C start as the mean and C₀. Then `reweight` times one more pass over the data follows, in which a pixel
    weighs w = exp(min(0, B − L)): L is the logarithm of the smoothed scores so far, B its background, as in
    `LogSmooth` and `TopHat`; m and C become the weighted mean and covariance (denominator Σ w). So anomalies
    do not hide in a covariance that they have widened. Scoring looks at single pixels; only fitting looks at
    neighbours.

    Shape:
        input (b, k, h, w) → output (b, 1, h, w); dtype and device kept.

    Args:
        shrinkage: ridge as a share of the mean variance; 0 or more.
        reweight: further passes with weights; 2 helps with many anomalous pixels, 0 is plain RX.
        extent: of the top-hat in the weights, in pixels, odd, 3 or more; None with `reweight=0` alone.
        sigma: of the smoothing in the weights, in pixels; above 0.
        trainable_stats: whether m and the whitening factor become parameters in the gradient phase.

    State:
        mean (k,): m.
        mean_rest (k,): what it is rounded by.
        cov (k, k): C, without the ridge.
        whitening (r, k): L with ‖L (y − m)‖² = D(y).
        ridge (1,): ρ.

    Raises:
        GraphError: when it is fitted: a variance that the node's dtype does not hold.

    Example:
        >>> detector, moments = RobustRX(shrinkage=0.0), Moments()
        >>> moments.update(torch.tensor([[-1.0], [1.0], [-1.0], [1.0]]))
        >>> detector.finalize(moments)  # mean 0, variance 4/3
        >>> detector(torch.tensor([0.0, 2.0]).view(1, 1, 1, 2)).flatten().tolist()
        [0.0, 3.0]
    """

    state_shapes: ClassVar = {"mean": "k", "mean_rest": "k", "cov": "k k", "whitening": "r k", "ridge": "1"}
    trained_names = ("mean", "whitening")
    mean: Tensor
    mean_rest: Tensor
    cov: Tensor
    whitening: Tensor
    ridge: Tensor
    sketch = Moments
    out_channels = one_channel

    def __init__(
        self,
        shrinkage: float = 1e-3,
        *,
        reweight: int = 1,
        extent: int | None = 13,
        sigma: float = 0.5,
        trainable_stats: bool = False,
    ) -> None:
        require(shrinkage >= 0, "RobustRX: shrinkage", "0 or more", shrinkage)
        require(reweight >= 0, "RobustRX: reweight", "a whole number, 0 or more", reweight)
        odd = extent is None or (extent >= 3 and extent % 2 == 1)
        require(odd, "RobustRX: extent", "an odd number of pixels, 3 or more, or None", extent)
        require(
            extent is not None or reweight == 0,
            "RobustRX: reweight", "0 with extent=None, since weights need a background", reweight,
        )  # fmt: skip
        require(sigma > 0, "RobustRX: sigma", "above 0", sigma)
        super().__init__(trainable=trainable_stats)
        self.shrinkage = shrinkage
        self.reweight = reweight
        self.extent = extent
        self.sigma = sigma
        self.trainable_stats = trainable_stats
        self.fit_halo = 2 + 2 * (extent // 2) if extent is not None and reweight else 0

    @override
    def finalize(self, sketch: Moments) -> None:
        covariance = sketch.covariance()
        variance = covariance.diagonal().mean()
        if not bool(variance.to(self.ridge.dtype).isfinite()):
            raise GraphError(
                f"{self.label}: expected a mean variance that {self.ridge.dtype} holds, got {variance:.1e}. "
                f"Divide the cubes by their greatest value, or use `graph.to(torch.float64)`."
            )
        ridge = self.shrinkage * variance
        self.set_state(ridge=ridge.reshape(1))
        self._set(sketch.mean, covariance, float(ridge))

    def further_passes(self) -> int:
        """Return how many passes with weights follow the first."""
        return self.reweight

    @torch.no_grad()
    def weights(self, cube: CubeTensor, valid: PixelMask) -> Float[Tensor, "b h w"]:
        """Return w of each pixel from the present state; 1 where nothing stands out."""
        assert self.extent is not None
        flags = None if bool(valid.all()) else valid
        logarithm = log_mean(self(cube), flags, self.sigma)
        return torch.exp(-top_hat(logarithm, flags, self.extent).clamp(min=0.0))[:, 0]

    def refine(self, sketch: WeightedMoments) -> None:
        """Set m and C to the weighted ones; ρ stays."""
        self._set(sketch.mean, sketch.covariance(), float(self.ridge.double()))

    def _set(self, mean: Float[Tensor, " k"], covariance: Float[Tensor, "k k"], ridge: float) -> None:
        factor, condition = whitening(covariance, ridge, self.mean.dtype, mean)
        logger.info(
            "  %s: covariance of rank %d of %d, condition number %.1e",
            self.label, len(factor), len(covariance), condition,
        )  # fmt: skip
        self.set_state(mean=mean, cov=covariance, whitening=factor)

    @override
    def affine(self) -> Affine:
        return centred(self.whitening, self.mean, self.mean_rest)

    @override
    def pointwise(self, mapped: CubeTensor) -> MappedCube:
        return mapped.square().sum(1, keepdim=True)
