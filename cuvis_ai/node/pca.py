"""Principal component analysis that can be fine-tuned by gradients."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import orthogonal as orthogonal_parametrization
from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import Affine, centred
from cuvis_ai.functional.eigen import principal_components, rank_of
from cuvis_ai.node.base import AffineNode, FittedNode, Projection, require, require_fitted
from cuvis_ai.stats import Moments


class TrainablePCA(FittedNode, AffineNode):
    """Projects each spectrum onto its principal components: y = W (x − mean).

    W starts as the leading eigenvectors of the training covariance (denominator n − 1), largest
    variance first, the coefficient of largest magnitude of each positive. With `whiten` each score
    is divided by √(variance + eps). The tutorial's WᵀW − I is W Wᵀ − I here: rows are components.

    Shape:
        input (b, c, h, w) → output (b, k, h, w); dtype and device kept.

    Args:
        n_components: k; 1 … number of channels.
        trainable: whether W becomes a parameter in the gradient phase.
        whiten: whether scores are scaled to unit variance; the scale stays as fitted.
        eps: added to the variances before whitening, in squared units of the input; 0 or more.
        orthogonal: "soft" leaves it to `OrthogonalityLoss` to keep W orthonormal in training; "hard"
            keeps it so exactly, to rounding, by training the Cayley map's argument instead of W.
        at_most: whether k is the smallest of `n_components`, the number of channels and the rank of the
            covariance, fixed when the node is fitted, so that it need not suit the data.

    State:
        components (k, c): W; set by the statistical phase, changed by training if `trainable`.
        mean (c,): mean spectrum of the training data.
        mean_rest (c,): what it is rounded by.
        explained_variance (k,): variances along the fitted components.
        total_variance (1,): sum of the channel variances of the training data.

    Example:
        >>> pca, moments = TrainablePCA(n_components=1), Moments()
        >>> moments.update(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0], [2.0, 1.0]]))
        >>> pca.finalize(moments)  # the first band varies most
        >>> pca.components.tolist(), pca.mean.tolist()
        ([[1.0, 0.0]], [1.0, 0.5])
        >>> pca(torch.tensor([5.0, 7.0]).view(1, 2, 1, 1)).item()
        4.0

    Reference:
        Jolliffe, "Principal Component Analysis", 2002, §1.1. Hard mode: Lezcano-Casado,
        "Trivializations for gradient-based optimization on manifolds", 2019, §6.
    """

    state_shapes: ClassVar = {
        "components": "k c",
        "mean": "c",
        "mean_rest": "c",
        "explained_variance": "k",
        "total_variance": "1",
    }
    trained_names = ("components",)
    components: Tensor
    mean: Tensor
    mean_rest: Tensor
    explained_variance: Tensor
    total_variance: Tensor
    sketch = Moments

    def __init__(
        self,
        n_components: int,
        *,
        trainable: bool = False,
        whiten: bool = False,
        eps: float = 1e-6,
        orthogonal: Literal["soft", "hard"] = "soft",
        at_most: bool = False,
    ) -> None:
        require(n_components >= 1, "TrainablePCA: n_components", "a whole number, 1 or more", n_components)
        require(eps >= 0, "TrainablePCA: eps", "0 or more", eps)
        super().__init__(trainable=trainable)
        self.n_components = n_components
        self.at_most = at_most
        self.whiten = whiten
        self.eps = eps
        self.orthogonal = orthogonal

    @property
    def explained_variance_ratio(self) -> Float[Tensor, " k"]:
        """Shares of the total variance that the fitted components explain."""
        require_fitted(self)
        return self.explained_variance / self.total_variance.clamp(min=torch.finfo(self.mean.dtype).tiny)

    @property
    def scale(self) -> Float[Tensor, " k"]:
        """What each score is multiplied with: 1, or 1 / √(variance + eps) if `whiten`."""
        if not self.whiten:
            return torch.ones_like(self.explained_variance)
        deviation = (self.explained_variance + self.eps).sqrt()
        return torch.where(deviation > 0, 1.0 / deviation, 0.0)

    def projection(self) -> Projection:
        """Return W, the mean and the scale."""
        # Contiguous, so that products round alike before and after saving a parametrized W.
        return Projection(self.components.contiguous(), self.mean, self.scale)

    @override
    def out_channels(self, in_channels: int | None) -> int | None:
        if not self.at_most:
            return self.n_components
        return len(self.components) if self.fitted else None

    @override
    def finalize(self, sketch: Moments) -> None:
        covariance = sketch.covariance()
        most = min(len(sketch.mean), sketch.count)
        if self.at_most:
            most = max(1, min(most, rank_of(covariance, self.mean.dtype)))
        if self.n_components > most and not self.at_most:
            raise GraphError(
                f"{self.label}: n_components={self.n_components}: expected at most {most}, the smaller of "
                f"{len(sketch.mean)} channels and {sketch.count} valid training pixels. Ask for fewer."
            )
        vectors, variances = principal_components(covariance, min(self.n_components, most))
        self.set_state(
            components=vectors,
            mean=sketch.mean,
            explained_variance=variances,
            total_variance=covariance.diagonal().sum().reshape(1),
        )

    def prepare_for_train(self) -> None:
        """Turn W into a parameter, if `trainable`; in hard mode the Cayley map's argument instead."""
        super().prepare_for_train()
        if self.trainable and self.orthogonal == "hard" and not parametrize.is_parametrized(self):
            orthogonal_parametrization(self, "components", orthogonal_map="cayley")

    @override
    def fit_report(self) -> list[str]:
        shares = self.explained_variance_ratio.tolist()
        words = [f"{share:.1%}" for share in shares]
        if len(words) > 12:  # they fall; the last of many round to nothing
            words = [*words[:4], f"… ({len(words)} in all)"]
        return [f"Explained variance: [{', '.join(words)}] = {sum(shares):.1%} total"]

    @override
    def affine(self) -> Affine:
        weight, mean, scale = self.projection()
        weight = weight * scale[:, None] if self.whiten else weight
        return centred(weight, mean, self.mean_rest)
