"""The adaptive coherence estimator: a detector of a known signature."""

import logging
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import Affine, centred
from cuvis_ai.functional.eigen import ridged_whitening
from cuvis_ai.functional.target_detection import signed_coherence
from cuvis_ai.node.base import AffineNode, FittedNode, one_channel, require
from cuvis_ai.stats import Moments, MomentsByClass, Sketch
from cuvis_ai.types import CubeTensor, MappedCube

logger = logging.getLogger(__name__)


class ACE(FittedNode, AffineNode):
    """Scores each spectrum by its likeness to a signature, from −1 to 1, whatever its brightness.

    (xᵀs) |xᵀs| / (|x|² |s|²) in the space x = L (cube − μ), 0 where |x| = 0, with μ and the whitening L of
    all valid training pixels, anomalies included: LᵀL = (Σ + ρ I)⁻¹, ρ = shrinkage · tr Σ / c. The
    signature is the mean of the anomalies less that of the other pixels, or a given spectrum less μ; with
    `region` the pixels of a labelled region stand for the anomalies.

    Shape:
        input (b, c, h, w) → output (b, 1, h, w); dtype and device kept.

    Args:
        signature: c values in units of the input; None takes the anomalies of the training masks.
        region: the value of `batch["labels"]` (b, h, w) in the region that the signature is taken from, such
            as a class number; None takes the masks. Not with `signature`.
        shrinkage: ridge on the covariance as a share of the mean variance, tr Σ / c; 0 or more.
        trainable: whether the signature becomes a parameter in the gradient phase.

    State:
        mean (c,): μ, mean spectrum of the training data.
        mean_rest (c,): what it is rounded by.
        whitening (r, c): L, with r the rank; zero below the diagonal.
        signature_direction (r,): s, of unit length at the start.

    Raises:
        GraphError: when it is fitted: no anomaly in the training masks, a signature of another length than
            c, or one that equals the mean.

    Example:
        >>> ace, moments = ACE(signature=[1.0, 0.0]), Moments()
        >>> moments.update(torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]]))
        >>> ace.finalize(moments)
        >>> spectra = torch.tensor([[5.0, 0.0], [0.0, 5.0], [-5.0, 0.0]])  # like it, unlike it, its opposite
        >>> ace(spectra.T.view(1, 2, 1, 3)).flatten().round(decimals=3).tolist()
        [1.0, 0.0, -1.0]

    Reference:
        Kraut, Scharf, McWhorter, "Adaptive subspace detectors", 2001, eq. 13, with the sign of xᵀs.
    """

    state_shapes: ClassVar = {"mean": "c", "mean_rest": "c", "whitening": "r c", "signature_direction": "r"}
    trained_names = ("signature_direction",)
    mean: Tensor
    mean_rest: Tensor
    whitening: Tensor
    signature_direction: Tensor
    out_channels = one_channel

    def __init__(
        self,
        signature: Sequence[float] | None = None,
        *,
        region: int | None = None,
        shrinkage: float = 1e-4,
        trainable: bool = False,
    ) -> None:
        require(signature is None or region is None, "ACE: region", "None with a `signature`", region)
        require(signature is None or len(signature) > 0, "ACE: signature", "one value a channel", signature)
        require(shrinkage >= 0, "ACE: shrinkage", "0 or more", shrinkage)
        super().__init__(trainable=trainable)
        self.signature = None if signature is None else [float(value) for value in signature]
        self.region = region
        self.shrinkage = shrinkage

    @property
    @override
    def sketch(self) -> type[Sketch]:
        return MomentsByClass if self.signature is None else Moments

    def anomalous_label(self) -> int | None:
        """Return the label of the region that the signature is taken from."""
        return self.region

    @override
    def finalize(self, sketch: MomentsByClass | Moments) -> None:
        whole = sketch.whole() if isinstance(sketch, MomentsByClass) else sketch
        covariance = whole.covariance()
        factor = ridged_whitening(covariance, self.shrinkage * float(covariance.diagonal().mean()))
        direction = factor @ self._signature(sketch)
        length = torch.linalg.vector_norm(direction)
        if not bool(length > 0):
            raise GraphError(
                f"{self.label}: signature: expected a spectrum that differs from the mean of the training "
                f"data, got none. Likely causes: all training pixels are alike, or `signature` is their mean."
            )
        logger.info(
            "  %s: covariance of rank %d of %d, from %d pixels",
            self.label, len(factor), len(covariance), whole.count,
        )  # fmt: skip
        self.set_state(mean=whole.mean, whitening=factor, signature_direction=direction / length)

    def _signature(self, sketch: MomentsByClass | Moments) -> Float[Tensor, " c"]:
        """Return the signature relative to the background."""
        if isinstance(sketch, Moments):
            given = torch.tensor(self.signature, dtype=torch.float64)
            if len(given) != sketch.channels:
                raise GraphError(
                    f"{self.label}: signature: expected {sketch.channels} values, one for each channel that "
                    f"enters, got {len(given)}. Give the spectrum at the wavelengths of the cube's bands."
                )
            return given - sketch.mean
        normal, anomalous = sketch.both(self.label, "masks" if self.region is None else "labels")
        return anomalous.mean - normal.mean

    @override
    def affine(self) -> Affine:
        direction = self.signature_direction / torch.linalg.vector_norm(self.signature_direction)
        # The first row measures along the signature; it reads all channels, as the next one does.
        weight = torch.cat([(direction @ self.whitening)[None], self.whitening])
        return centred(weight, self.mean, self.mean_rest)

    @override
    def pointwise(self, mapped: CubeTensor) -> MappedCube:
        return signed_coherence(mapped[:, :1], mapped[:, 1:])
