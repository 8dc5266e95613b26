"""The head that joins the scores of several branches into one logit."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import Affine, centred
from cuvis_ai.functional.target_detection import linear_discriminant
from cuvis_ai.node.base import AffineNode, FittedNode, check_channels, one_channel, require
from cuvis_ai.stats import MomentsByClass

FEATURE_SCALE = 3.0
"""Deviations of a further feature that count as one, so that its weight is learnt more slowly."""


class BranchLogitHead(FittedNode, AffineNode):
    """Joins the scores of branches into a logit: α (f − b), f = Σ wᵢ zᵢ, α > 0.

    zᵢ is a channel less its training mean, over its training deviation (denominator n − 1); a channel that
    does not vary is 0. α = (m₁ − m₀) / s² and b = (m₁ + m₀) / 2 from the means of f over anomalous and
    normal training pixels and its variance within the classes (denominator n − 2): the linear discriminant
    with equal priors, from moments by class in one pass. The logarithm of α is what is trained.

    Channels beyond the branches are further features, such as whitened components: they enter as z / 3
    with the weight 0, and are worth giving where gradients are to find the weights.

    Shape:
        input (b, m, h, w), m at least the number of weights → output (b, 1, h, w); dtype and device kept.

    Args:
        weights: those of the first channels at the start.
        trainable: whether weights, α and b become parameters in the gradient phase.

    State:
        mean, deviation (m,): of the training scores; the deviation of further features is tripled.
        mean_rest (m,): what the mean is rounded by.
        feature_weights (m,): w.
        log_scale (1,): log α.
        bias (1,): b, the f with probability ½.
        start (m,): the coefficients that fitting found, in logits per unit of each feature.

    Raises:
        GraphError: when it is fitted: no anomaly in the training masks, or anomalies that do not score
            higher on average than the other pixels.

    Example:
        >>> head, scores = BranchLogitHead(), torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [4.0, 4.0]])
        >>> statistics = head.sketch()
        >>> statistics.update(scores, truth=torch.tensor([False, False, False, True]))
        >>> head.finalize(statistics)
        >>> (head(scores.T.reshape(1, 2, 2, 2)) > 0).flatten().tolist()
        [False, False, False, True]
    """

    state_shapes: ClassVar = {
        "mean": "m",
        "mean_rest": "m",
        "deviation": "m",
        "feature_weights": "m",
        "log_scale": "1",
        "bias": "1",
        "start": "m",
    }
    trained_names = ("feature_weights", "log_scale", "bias")
    emits_logits = True
    mean: Tensor
    mean_rest: Tensor
    deviation: Tensor
    feature_weights: Tensor
    log_scale: Tensor
    bias: Tensor
    start: Tensor
    sketch = MomentsByClass
    out_channels = one_channel

    def __init__(self, weights: Sequence[float] = (1.0, 0.5), *, trainable: bool = True) -> None:
        require(len(weights) > 0, "BranchLogitHead: weights", "one or more numbers", list(weights))
        super().__init__(trainable=trainable)
        self.weights = [float(weight) for weight in weights]

    @property
    def scale(self) -> Float[Tensor, " n"]:
        """α, logits per unit of f."""
        return self.log_scale.exp()

    @override
    def finalize(self, sketch: MomentsByClass) -> None:
        branches = len(self.weights)
        if sketch.channels < branches:
            check_channels(self, branches, sketch.channels)
        sketch.both(self.label)
        whole = sketch.whole()
        deviation = whole.covariance().diagonal().sqrt()
        deviation[branches:] *= FEATURE_SCALE
        weights = torch.zeros_like(whole.mean)
        weights[:branches] = torch.tensor(self.weights, dtype=weights.dtype)
        joined = sketch.through(_joined(weights, whole.mean, deviation))
        scale, bias = self._discriminant(joined)
        self.set_state(
            mean=whole.mean,
            deviation=deviation,
            feature_weights=weights,
            log_scale=scale.log(),
            bias=bias,
            start=scale * weights * _unit(deviation, branches),
        )

    def _discriminant(self, joined: MomentsByClass) -> tuple[Float[Tensor, " 1"], Float[Tensor, " 1"]]:
        """Return α and b, given the moments of f."""
        normal, anomalous = joined.both(self.label)
        variance = (normal.second + anomalous.second)[0] / max(joined.count - 2, 1)
        scale, bias = linear_discriminant(normal.mean, anomalous.mean, variance)
        if not bool(scale > 0):
            got = f"{float(anomalous.mean):.3g} against {float(normal.mean):.3g} standard deviations"
            raise GraphError(
                f"{self.label}: expected anomalies that score higher on average than other pixels, got a "
                f"mean of {got}. Check the training masks, or give other branches."
            )
        return scale, bias

    def coefficients(self) -> Float[Tensor, " m"]:
        """Return the present coefficients α wᵢ, in logits per standard deviation of each feature."""
        return self.scale * self.feature_weights * _unit(self.deviation, len(self.weights))

    def drift(self) -> Float[Tensor, " m"]:
        """Return how far the coefficients are from those that fitting found."""
        return self.coefficients() - self.start

    @override
    def affine(self) -> Affine:
        joined = _joined(self.feature_weights, self.mean, self.deviation)
        rounded = centred(self.scale * joined.weight, self.mean, self.mean_rest)
        return Affine(rounded.weight, rounded.center, rounded.bias - self.scale * self.bias)


def _joined(
    weights: Float[Tensor, " m"], mean: Float[Tensor, " m"], deviation: Float[Tensor, " m"]
) -> Affine:
    """Return the map from scores to f."""
    inverse = torch.where(deviation > 0, 1.0 / deviation, 0.0)
    return Affine((weights * inverse)[None], mean, weights.new_zeros(1))


def _unit(deviation: Float[Tensor, " m"], branches: int) -> Float[Tensor, " m"]:
    """Return the standard deviation of each feature as it enters f."""
    unit = torch.full_like(deviation, 1.0 / FEATURE_SCALE)
    unit[:branches] = 1.0
    return unit
