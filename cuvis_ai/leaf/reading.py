"""What leaves read of a graph, and at which points."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from torch import Tensor

from cuvis_ai.functional.affine import Affine
from cuvis_ai.node.base import Decodes, Node
from cuvis_ai.stats import Sketch, Structure
from cuvis_ai.types import CubeTensor, PixelMask, Point


class Read(Enum):
    """What a leaf can read.

    Example:
        >>> Read.MASK.value  # the entry of a batch, or the point of a graph
        'batch["mask"]'
    """

    INPUT = "the cube that enters the parent"
    OUTPUT = "the cube that leaves the parent"
    ENCODER_INPUT = "the cube that enters the node that the parent decodes"
    MASK = 'batch["mask"]'
    LABELS = 'batch["labels"]'


BATCH_KEYS = {Read.MASK: "mask", Read.LABELS: "labels"}
"""Reads that are entries of the batch."""


class Truth(Enum):
    """What a sketch is told about the class of each pixel, from `batch["mask"]`.

    Example:
        >>> Truth.USED.value
        'the mask, where a batch has one'
    """

    UNUSED = "nothing"
    USED = "the mask, where a batch has one"
    REQUIRED = "the mask; batches without one do not count"


@dataclass(frozen=True)
class View:
    """What one batch shows to a leaf: its parent, what it declared to read, and which pixels count.

    Attributes:
        parent: the node that it is attached to.
        values: what it reads.
        valid: False at pixels that do not count, without data or mere context; None if all do.

    Example:
        >>> import torch
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> view = View(TrainablePCA(1), {Read.OUTPUT: torch.full((1, 1, 2, 2), 3.0)})
        >>> view[Read.OUTPUT].mean().item()
        3.0
    """

    parent: Node
    values: Mapping[Read, Tensor]
    valid: PixelMask | None = None

    def __getitem__(self, read: Read) -> Tensor:
        """The tensor for one of the declared reads."""
        return self.values[read]


@dataclass(frozen=True)
class Observation:
    """A sketch that a leaf needs of what enters or leaves its parent.

    Attributes:
        where: INPUT or OUTPUT.
        sketch: makes an empty sketch; equal observations are shared.
        truth: whether it sees which pixels are anomalies.

    Example:
        >>> from cuvis_ai.stats import Moments
        >>> Observation(Read.INPUT, Moments).truth.value  # what the sketch is told of the classes
        'nothing'
    """

    where: Read
    sketch: Callable[[], Sketch]
    truth: Truth = Truth.UNUSED


Sketches = Mapping[str, Any]
"""Sketches by the name under which a leaf asked for them, each of the class it asked for."""


@dataclass
class Evaluation:
    """What a batch gave.

    Attributes:
        values: the cube at each point asked for. Invalid pixels hold arbitrary finite values.
        valid: False at invalid pixels; None if all are valid.
        core: False at pixels that are context of a tile; None if none is.
    """

    values: dict[Point, CubeTensor]
    valid: PixelMask | None
    core: PixelMask | None = None

    @property
    def counted(self) -> PixelMask | None:
        """True at the pixels that statistics, losses, metrics and pictures count; None if all do."""
        return intersection(self.valid, self.core)

    def rows(self, rows: slice) -> "Evaluation":
        """Return some rows of it."""
        valid, core = (None if flags is None else flags[:, rows] for flags in (self.valid, self.core))
        return Evaluation({point: cube[:, :, rows] for point, cube in self.values.items()}, valid, core)

    def masked(self, point: Point) -> CubeTensor:
        """Return the cube at a point, NaN at invalid pixels."""
        values = self.values[point]
        return values if self.valid is None else values.masked_fill(~self.valid[:, None], float("nan"))


def intersection(a: PixelMask | None, b: PixelMask | None) -> PixelMask | None:
    """Return where both hold; None is everywhere."""
    if a is None or b is None:
        return b if a is None else a
    return a & b


class Paths(Protocol):
    """How the points of a graph are connected."""

    def input_of(self, node: str) -> Point:
        """Return the point that a node reads."""

    def base(self, point: Point, least: Structure = ...) -> Point:
        """Return the furthest point upstream from which `point` is reached by maps at least this special."""

    def affine(self, point: Point, base: Point, channels: int | None = ...) -> Affine | None:
        """Return the composed map from `base` to `point`; None for the identity."""


def points_of(reads: Iterable[Read], parent: Node, paths: Paths) -> dict[Read, Point]:
    """Return the point of each read that is a cube in the graph."""
    assert parent.name is not None
    points: dict[Read, Point] = {}
    for read in reads:
        if read is Read.OUTPUT:
            points[read] = (parent.name,)
        elif read is Read.INPUT:
            points[read] = paths.input_of(parent.name)
        elif read is Read.ENCODER_INPUT:
            points[read] = paths.input_of(parent.decodes() if isinstance(parent, Decodes) else parent.name)
    return points


def view_of(
    reads: Collection[Read],
    parent: Node,
    paths: Paths,
    evaluation: Evaluation | None,
    batch: Mapping[str, Any],
) -> View:
    """Return what a batch shows to a leaf; keys that the batch lacks are left out."""
    values = {
        read: batch[key] for read, key in BATCH_KEYS.items() if read in reads and batch.get(key) is not None
    }
    if evaluation is None:
        return View(parent, values)
    points = points_of(reads, parent, paths)
    cubes = {read: evaluation.values[point] for read, point in points.items()}
    return View(parent, {**cubes, **values}, evaluation.counted)
