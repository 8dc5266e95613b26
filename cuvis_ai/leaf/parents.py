"""What leaves need of their parent: a score, components, a choice of bands.

The checks have the form of `Leaf.check_parent`: a leaf declares its own as `check_parent = needs_score`.
"""

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.component_quality import ExplainedVariance, explained_variance
from cuvis_ai.leaf.bases import Leaf
from cuvis_ai.leaf.reading import Observation, Read
from cuvis_ai.node.base import Node, Projection, Projects, Selection
from cuvis_ai.stats import ChannelMoments, Moments

VARIANCE_OBSERVATIONS = {
    "input": Observation(Read.INPUT, ChannelMoments),
    "scores": Observation(Read.OUTPUT, Moments),
}
"""What `explained_by` needs of the parent."""


def needs_score(leaf: Leaf, parent: Node, channels: int | None) -> None:
    """Raise a `GraphError` unless the parent's output is a single channel, as far as known."""
    if channels not in (None, 1):
        raise GraphError(
            f"{leaf.label}: expected a parent with one output channel, such as RXGlobal, got {parent.label} "
            f"with {channels}. Pass `parent=` the detector."
        )


def needs_components(leaf: Leaf, parent: Node, channels: int | None) -> None:
    """Raise a `GraphError` unless the parent has components."""
    projection_of(parent, leaf)


def needs_choice(leaf: Leaf, parent: Node, channels: int | None) -> None:
    """Raise a `GraphError` unless the parent chooses bands."""
    selection_of(parent, leaf)


def projection_of(parent: Node, leaf: Leaf) -> Projection:
    """Return the parent's components, or raise a `GraphError` that names the leaf."""
    if not isinstance(parent, Projects):
        raise GraphError(
            f"{leaf.label}: expected a parent with components, such as TrainablePCA, got {parent.label}. "
            f"Pass `parent=` the PCA node."
        )
    return parent.projection()


def selection_of(parent: Node, leaf: Leaf) -> Selection:
    """Return the parent as a choice of bands, or raise a `GraphError`."""
    if not isinstance(parent, Selection):
        raise GraphError(
            f"{leaf.label}: expected a parent that chooses channels, such as SoftChannelSelector, got "
            f"{parent.label}."
        )
    return parent


def explained_by(projection: Projection, entering: ChannelMoments, scores: Moments) -> ExplainedVariance:
    """Return the shares of the input's variance that components explain, from sketches of both sides."""
    # The covariance of W (x − m), before any whitening. Both denominators are n: they cancel.
    inverse = projection.inverse_scale.detach().cpu().double()
    covariance = inverse[:, None] * scores.covariance(ddof=0) * inverse
    components = projection.components.detach().cpu().double()
    return explained_variance(components, covariance, entering.variance(ddof=0).sum())
