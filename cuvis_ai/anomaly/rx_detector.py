"""The Reed-Xiaoli anomaly detector.

May import: `node.base` and what it may import.
"""

import logging

from torch import Tensor

from cuvis_ai.affine import Affine
from cuvis_ai.functional.eigen import whitening
from cuvis_ai.node.base import Node, require
from cuvis_ai.stats import Moments, Sketch, Structure
from cuvis_ai.types import CubeTensor, MappedCube

logger = logging.getLogger(__name__)


class RXGlobal(Node):
    """Scores each spectrum by its squared Mahalanobis distance from the training data.

    δ(x) = (x − μ)ᵀ (Σ + eps I)⁻¹ (x − μ), computed as ‖L (x − μ)‖² with a whitening factor L from
    the float64 covariance (denominator n − 1): no inverse is formed, and float32 scores agree with
    float64 ones. With eps = 0 a singular Σ is handled by its pseudo-inverse; rank and condition
    number are logged.

    Shape:
        input (b, c, h, w) → output (b, 1, h, w); dtype and device kept.

    Args:
        eps: ridge on the covariance's diagonal, in squared units of the input; 0 or more. It
            depends on the scale of the data: 1e-6 is much behind a `MinMaxNormalizer`.
        trainable_stats: whether μ and L become parameters in the gradient phase.

    State:
        mu (c,): mean spectrum of the training data.
        cov (c, c): their covariance, without the ridge; stays as fitted.
        whitening (r, c): L, with r the rank.

    Reference:
        Reed, Yu, "Adaptive multiple-band CFAR detection of an optical pattern with unknown spectral
        distribution", 1990, eq. 24; with the mean of the scene as in Chang, Chiang, 2002, eq. 2.
    """

    state_names = ("mu", "cov", "whitening")
    trained_names = ("mu", "whitening")
    mu: Tensor
    cov: Tensor
    whitening: Tensor

    def __init__(self, eps: float = 0.0, *, trainable_stats: bool = False) -> None:
        require(eps >= 0, "RXGlobal: eps", "0 or more", eps)
        super().__init__(trainable=trainable_stats)
        self.eps = eps
        self.trainable_stats = trainable_stats

    @property
    def structure(self) -> Structure:
        """Dense affine, the whitening, followed by the squared norm."""
        return Structure.DENSE

    @property
    def has_head(self) -> bool:
        """The squared norm."""
        return True

    @property
    def sketch(self) -> type[Sketch]:
        """Mean and covariance."""
        return Moments

    def out_channels(self, in_channels: int | None) -> int:
        """1, the score."""
        return 1

    def finalize(self, sketch: Sketch) -> None:
        """Set μ, Σ and L."""
        assert isinstance(sketch, Moments)
        covariance = sketch.covariance()
        factor, condition = whitening(covariance, self.eps, self.mu.dtype)
        channels = len(covariance)
        level = logging.INFO if len(factor) == channels else logging.WARNING
        logger.log(
            level, "  %s: covariance of rank %d of %d, condition number %.1e, from %d pixels",
            self.label, len(factor), channels, condition, sketch.count,
        )  # fmt: skip
        self.set_state(mu=sketch.mean, cov=covariance, whitening=factor)

    def affine(self) -> Affine:
        """L, centred at μ."""
        return Affine(self.whitening, self.mu, self.whitening.new_zeros(len(self.whitening)))

    def head(self, projected: CubeTensor) -> MappedCube:
        """Return the squared norm over channels."""
        return projected.square().sum(1, keepdim=True)

    def forward(self, cube: CubeTensor) -> MappedCube:
        """Return the scores (b, 1, h, w)."""
        return self.spectral(cube)
