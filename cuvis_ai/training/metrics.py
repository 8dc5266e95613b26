"""Metrics: functions of the sketches of an epoch; each formula lives in `functional`.

May import: `types`, `errors`, `stats`, `functional`, `node.base`, `training.leaf`.
"""

from collections.abc import Mapping

import torch

from cuvis_ai.functional.components import explained_variance, orthogonality_error
from cuvis_ai.node.base import Node
from cuvis_ai.stats import ChannelMoments, Moments, Sketch
from cuvis_ai.training.leaf import Metric, Observation, Read, components_of


class ExplainedVarianceMetric(Metric):
    """Shares of the input's total variance that the current components explain.

    Logs `explained_variance_pc1`, `explained_variance_pc2`, … and `explained_variance_total`, by
    the formulas of `functional.components.explained_variance`: of the components as they are now,
    on the data of the epoch, out of the total variance of what enters the parent.
    """

    def check_parent(self, parent: Node, channels: int | None) -> None:
        """The parent needs components."""
        components_of(parent, self)

    def observes(self) -> Mapping[str, Observation]:
        """Channel variances of the input, covariance of the scores."""
        return {
            "input": Observation(Read.INPUT, ChannelMoments),
            "scores": Observation(Read.OUTPUT, Moments),
        }

    def compute(self, parent: Node, sketches: Mapping[str, Sketch]) -> dict[str, float]:
        """Return the shares, as fractions of 1."""
        entering, scores = sketches["input"], sketches["scores"]
        assert isinstance(entering, ChannelMoments)
        assert isinstance(scores, Moments)
        if entering.count == 0:
            return {}
        projection = components_of(parent, self)
        # The covariance of W (x − m), before any whitening. Both denominators are n: they cancel.
        scale = projection.scale.detach().cpu().double()
        inverse = torch.where(scale > 0, 1.0 / scale, 0.0)
        covariance = inverse[:, None] * scores.covariance(ddof=0) * inverse
        shares = explained_variance(
            projection.components.detach().cpu().double(), covariance, entering.variance(ddof=0).sum()
        )
        named = {f"explained_variance_pc{i}": float(share) for i, share in enumerate(shares.per_component, 1)}
        return {**named, "explained_variance_total": float(shares.total)}


class ComponentOrthogonalityMetric(Metric):
    """How far the components are from orthonormal: `component_orthogonality_error` = ‖W Wᵀ − I‖_F."""

    def check_parent(self, parent: Node, channels: int | None) -> None:
        """The parent needs components."""
        components_of(parent, self)

    def compute(self, parent: Node, sketches: Mapping[str, Sketch]) -> dict[str, float]:
        """Return the error."""
        components = components_of(parent, self).components.detach().cpu().double()
        return {"component_orthogonality_error": float(orthogonality_error(components))}
