"""What some nodes can do besides mapping cubes, as protocols of methods."""

from functools import cache
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cuvis_ai.functional.affine import Affine
from cuvis_ai.node.base.node import Node
from cuvis_ai.stats import WeightedMoments
from cuvis_ai.types import CubeTensor, MappedCube, PixelMask


class Projection(NamedTuple):
    """How a node projects onto components: scale · W (x − mean).

    Example:
        >>> projection = Projection(torch.eye(1, 2), torch.zeros(2), torch.tensor([4.0]))
        >>> projection.inverse_scale.tolist()
        [0.25]
    """

    components: Float[Tensor, "k c"]
    """W, one component a row."""
    mean: Float[Tensor, " c"]
    """Subtracted before the projection."""
    scale: Float[Tensor, " k"]
    """What each score is multiplied with after it: 1, or 1 / deviation for whitened scores."""

    @property
    def inverse_scale(self) -> Float[Tensor, " k"]:
        """1 / scale, 0 where the scale is 0."""
        return torch.where(self.scale > 0, 1.0 / self.scale, 0.0)


@runtime_checkable
class Projects(Protocol):
    """A node with components, which the component leaves and `PCADecoder` need.

    Example:
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> isinstance(TrainablePCA(3), Projects)
        True
    """

    def projection(self) -> Projection:
        """Return the current components."""


@runtime_checkable
class Decodes(Protocol):
    """A node that gives back what entered another; if it is fitted, then from that and from its own input.

    Example:
        >>> from cuvis_ai.node.decoder import PCADecoder
        >>> PCADecoder("pca").decodes()
        'pca'
    """

    def decodes(self) -> str:
        """Return the name of the node whose input it gives back."""

    def bind(self, encoder: Node) -> None:
        """Receive that node, to be held as a plain reference, not as a submodule."""


@runtime_checkable
class Follows(Protocol):
    """A node that can derive its statistics at each use from moments further upstream.

    Example:
        >>> from cuvis_ai.anomaly.rx_detector import RXGlobal
        >>> RXGlobal().follows(), RXGlobal(stats="follow").follows()
        (False, True)
    """

    def follows(self) -> bool:
        """Return whether it does."""

    def remember(self, upstream: Any) -> None:
        """Store the sketch from which the statistics are derived."""

    def followed(self, path: Affine | None) -> Affine:
        """Return the node's current map, given the map from the stored sketch to its input."""

    def refresh(self, path: Affine | None) -> None:
        """Set the fitted state to the statistics that are derived now."""


@runtime_checkable
class Reweights(Protocol):
    """A fitted node whose moments are taken again, each pixel weighted by the present state.

    Example:
        >>> from cuvis_ai.anomaly.robust_rx import RobustRX
        >>> RobustRX(reweight=2).further_passes()
        2
    """

    def further_passes(self) -> int:
        """Return how many passes over the data follow the one in which it is first fitted."""

    def weights(self, cube: CubeTensor, valid: PixelMask) -> Float[Tensor, "b h w"]:
        """Return the weights of the pixels that enter, from the present state.

        Args:
            cube: what enters the node, with `fit_halo` pixels around those that count.
            valid: False at pixels without data.
        """

    def refine(self, sketch: WeightedMoments) -> None:
        """Set the fitted state from the weighted moments of what enters."""


def reweighting(node: Node) -> int:
    """Return how many further passes with weights a node asks for."""
    return node.further_passes() if isinstance(node, Reweights) else 0


@runtime_checkable
class FromLabel(Protocol):
    """A node that can be fitted from the pixels of one label in place of the training masks.

    Example:
        >>> from cuvis_ai.target.ace import ACE
        >>> ACE(region=3).anomalous_label()
        3
    """

    def anomalous_label(self) -> int | None:
        """Return the value of `batch["labels"]` whose pixels count as the anomalies; None for the masks."""


def anomalous_label(node: Node) -> int | None:
    """Return the label whose pixels a node is fitted from as anomalies; None where the masks say it."""
    return node.anomalous_label() if isinstance(node, FromLabel) else None


@runtime_checkable
class Anchored(Protocol):
    """A node whose training can be held near the state that it was fitted to.

    Example:
        >>> from cuvis_ai.anomaly.branch_logit_head import BranchLogitHead
        >>> isinstance(BranchLogitHead(), Anchored)
        True
    """

    def drift(self) -> Float[Tensor, " m"]:
        """Return how far its coefficients are from those, in logits per deviation of each feature."""


@runtime_checkable
class Recorded(Protocol):
    """A node whose `forward` looks at values or sizes, to be faster; an exported model has this instead.

    Example:
        >>> from cuvis_ai.spatial.top_hat import TopHat
        >>> TopHat(3).recorded(torch.ones(1, 1, 4, 4), None).max().item()  # a plane has no details
        0.0
    """

    def recorded(self, cube: CubeTensor, valid: PixelMask | None) -> MappedCube:
        """Return what `forward` does, by operations that are the same for all values and sizes."""


def follower(node: Node) -> Follows | None:
    """Return a node as one that derives its statistics, None if it does not."""
    # Asked of each node whenever a graph is applied, and `isinstance` goes over the protocol's members.
    if not _has_method_to_follow(type(node)):
        return None
    following = cast(Follows, node)
    return following if following.follows() else None


@cache
def _has_method_to_follow(kind: type[Node]) -> bool:
    return issubclass(kind, Follows)
