"""The bases of leaves: losses, metrics and pictures, each attached to one node.

A leaf declares what it needs and the execution computes that and nothing else: a loss on weights
alone costs no forward pass. Metrics declare sketches and turn them, merged over the epoch and
over all ranks, into values: they cannot depend on how pixels were batched.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cuvis_ai.leaf.reading import Observation, Read, Sketches, View
from cuvis_ai.node.base import Node, require
from cuvis_ai.plain_types import check_arguments
from cuvis_ai.stats import Sketch
from cuvis_ai.types import PixelMask

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure


class Leaf(nn.Module, ABC):
    """Attached to one node. Constructor arguments are stored as attributes of the same name.

    Attributes:
        name: the leaf's name in its graph; None outside a graph.

    Example:
        >>> issubclass(Loss, Leaf), issubclass(Metric, Leaf), issubclass(Visualization, Leaf)
        (True, True, True)
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_arguments(cls)

    def __init__(self) -> None:
        super().__init__()
        self.name: str | None = None

    @property
    def label(self) -> str:
        """How messages name the leaf."""
        return f"{type(self).__name__} `{self.name}`" if self.name else type(self).__name__

    def check_parent(self, parent: Node, channels: int | None) -> None:
        """Raise a `GraphError` if the leaf cannot be attached to this node.

        Args:
            parent: the node.
            channels: channels that leave it; None if not known yet.
        """
        return


class Loss(Leaf):
    """A scalar to be minimized: a mean over valid pixels, or a function of the parent's weights alone.

    The epoch's value is the mean of the batches' values, each weighted by its valid pixels: exactly the mean
    over all pixels for the first kind. A loss that is no mean over pixels, such as a distance of class means,
    is averaged in this way over batches, so it depends on how pixels are batched; as a
    `leaf.pooled_loss.PooledLoss` it does not.

    Attributes:
        weight: factor in the total; 0 or more. Losses are logged without it.

    Example:
        >>> class Brightness(Loss):
        ...     def reads(self):
        ...         return frozenset({Read.OUTPUT})
        ...
        ...     def forward(self, view):
        ...         return pooled(view[Read.OUTPUT].mean(1, keepdim=True), view.valid)
        >>> Brightness(weight=0.1).weight
        0.1
    """

    log_name: ClassVar[str | None] = None
    """The name in `<stage>/loss/<name>`; None for the class name in snake case."""

    is_judged: ClassVar[bool] = False
    """Whether training with it is undone if the parent's logits rank validation pixels worse than before."""

    def __init__(self, weight: float = 1.0) -> None:
        require(weight >= 0, f"{type(self).__name__}: weight", "0 or more", weight)
        super().__init__()
        self.weight = weight

    def reads(self) -> frozenset[Read]:
        """What `forward` needs; nothing for a loss on weights alone."""
        return frozenset()

    @property
    def sketch(self) -> type[Sketch] | None:
        """What of the training cubes and masks the loss is fitted from; None if from nothing."""
        return None

    def reset(self) -> None:
        """Return to the unfitted state."""
        return

    def finalize(self, sketch: Any) -> None:
        """Set what is fitted."""
        raise NotImplementedError(f"{type(self).__name__} declares a sketch but no `finalize`.")

    @abstractmethod
    def forward(self, view: View) -> Float[Tensor, ""]:
        """Return the unweighted loss of a batch."""


class CompositeLoss(Leaf):
    """Combines losses, which then count in the total through this leaf alone.

    Attributes:
        child_losses: as given; once in a graph, the children's names.

    Example:
        >>> from cuvis_ai.training.losses import OrthogonalityLoss, WeightedMultiLoss
        >>> isinstance(WeightedMultiLoss([OrthogonalityLoss()]), CompositeLoss)
        True
    """

    def __init__(self, child_losses: Sequence["Loss | str"]) -> None:
        super().__init__()
        # In a tuple of its own, so that children are not submodules: the graph holds them.
        self._children: tuple[Loss | str, ...] = tuple(child_losses)

    @property
    def child_losses(self) -> list["Loss | str"]:
        """The children; by name those that are in a graph."""
        return [child if isinstance(child, str) else child.name or child for child in self._children]

    @abstractmethod
    def combine(self, losses: Float[Tensor, " m"]) -> Float[Tensor, ""]:
        """Return the combined loss, given the children's in their order."""


class Metric(Leaf):
    """Values that are logged per epoch and drive no gradient.

    Example:
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> from cuvis_ai.stats import ClassCounts
        >>> class Pixels(Metric):
        ...     def observes(self):
        ...         return {"output": Observation(Read.OUTPUT, ClassCounts)}
        ...
        ...     def compute(self, parent, sketches):
        ...         return {"pixels": sketches["output"].count}
        >>> Pixels().compute(TrainablePCA(3), {"output": ClassCounts(count=12)})
        {'pixels': 12}
    """

    stages: ClassVar[frozenset[str]] = frozenset({"train", "val", "test"})
    """Stages in which it is computed."""

    def observes(self) -> Mapping[str, Observation]:
        """Return the sketches that `compute` needs, by a name of the metric's own; none for weights alone."""
        return {}

    def fit(self, sketches: Sketches) -> None:
        """Set what a validation in training decides; nothing, unless the metric has a state."""
        return

    @abstractmethod
    def compute(self, parent: Node, sketches: Sketches) -> dict[str, float]:
        """Return the epoch's values by the name in `<stage>/metric/<name>`; changes nothing."""

    def compute_test(self, parent: Node, sketches: Sketches, threshold: float | None) -> dict[str, float]:
        """Return the values of a test, in which a graph's stored threshold is judged as it is.

        Args:
            parent: the node.
            sketches: as for `compute`.
            threshold: what the graph stores for the parent's output; None: nothing.
        """
        return self.compute(parent, sketches)


@dataclass(frozen=True)
class Picture:
    """A drawn figure and the data behind it.

    Attributes:
        name: a file-name-safe name, unique within the leaf.
        figure: made with Matplotlib's object interface; the receiver of pictures closes it.
        data: the arrays that were drawn, by name.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> figure, means = Figure(), np.array([0.2, 0.5])
        >>> lines = figure.subplots().plot(means)
        >>> Picture("channel_means", figure, {"mean": means}).name
        'channel_means'
    """

    name: str
    figure: "Figure"
    data: Mapping[str, "np.ndarray"]


class Visualization(Leaf):
    """Draws pictures of what it has seen in a validation epoch.

    Attributes:
        log_frequency: draws in every n-th validation epoch; the first and the last always draw.

    Example:
        >>> from matplotlib.figure import Figure
        >>> class Empty(Visualization):
        ...     def draw(self, parent, sketches):
        ...         return [Picture("empty", Figure(), {})]
        >>> Empty(log_frequency=5).log_frequency
        5
    """

    def __init__(self, log_frequency: int = 1) -> None:
        require(log_frequency >= 1, f"{type(self).__name__}: log_frequency", "1 or more", log_frequency)
        super().__init__()
        self.log_frequency = log_frequency

    def observes(self) -> Mapping[str, Observation]:
        """Return the sketches that `draw` needs, by a name of the leaf's own."""
        return {}

    def reads(self) -> frozenset[Read]:
        """Return what `collect` needs; MASK and LABELS are passed where the batch has them."""
        return frozenset()

    def reset(self) -> None:
        """Drop what was collected."""
        return

    def collect(self, view: View, batch: Mapping[str, Any]) -> None:
        """Take in a batch of an epoch that will be drawn; by default nothing but sketches is needed."""
        return

    @abstractmethod
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        """Return the pictures of the epoch."""


L_co = TypeVar("L_co", bound=Leaf, covariant=True)


@dataclass(frozen=True)
class Attached(Generic[L_co]):
    """A leaf and the node it is attached to."""

    leaf: L_co
    parent: Node


def pooled(per_pixel: Float[Tensor, "b 1 h w"], valid: PixelMask | None) -> Float[Tensor, ""]:
    """Return the mean over valid pixels; 0, still attached to the graph, if there is none."""
    if valid is None:
        return per_pixel.mean()
    counted = torch.where(valid[:, None], per_pixel, 0.0)
    return counted.sum() / valid.sum().clamp(min=1)
