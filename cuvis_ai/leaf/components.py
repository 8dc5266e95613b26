"""What leaves need of a parent with components."""

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.component_quality import ExplainedVariance, explained_variance
from cuvis_ai.leaf.bases import Leaf
from cuvis_ai.leaf.reading import Observation, Read
from cuvis_ai.node.base import Node
from cuvis_ai.node.base.abilities import Projection, Projects
from cuvis_ai.stats import ChannelMoments, Moments

VARIANCE_OBSERVATIONS = {
    "input": Observation(Read.INPUT, ChannelMoments),
    "scores": Observation(Read.OUTPUT, Moments),
}
"""What `explained_by` needs of the parent."""


def projection_of(parent: Node, leaf: Leaf) -> Projection:
    """Return the parent's components, or raise a `GraphError` that names the leaf."""
    if not isinstance(parent, Projects):
        raise GraphError(
            f"{leaf.label}: expected a parent with components, such as TrainablePCA, got {parent.label}. "
            f"Pass `parent=` the PCA node."
        )
    return parent.projection()


def explained_by(projection: Projection, entering: ChannelMoments, scores: Moments) -> ExplainedVariance:
    """Return the shares of the input's variance that components explain, from sketches of both sides."""
    # The covariance of W (x − m), before any whitening. Both denominators are n: they cancel.
    inverse = projection.inverse_scale.detach().cpu().double()
    covariance = inverse[:, None] * scores.covariance(ddof=0) * inverse
    components = projection.components.detach().cpu().double()
    return explained_variance(components, covariance, entering.variance(ddof=0).sum())
