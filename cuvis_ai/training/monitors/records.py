"""Plain records that monitors are given, ready to be written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Fact = str | int | float
"""What is known of a run's data: a text or a number."""


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """One logged value.

    Attributes:
        name: `<stage>/<loss|metric>/<name>`, with `_step` at the end for a value of one step.
        value: the number.
        step: the epoch for a value of an epoch, the global step for a value of a step.
        epoch: epochs finished before, counted from 0.
        global_step: optimizer steps so far.
        stage: train, val or test.

    Example:
        >>> Scalar(name="val/loss/total", value=0.5, step=3, epoch=3, global_step=40, stage="val").value
        0.5
    """

    name: str
    value: float
    step: int
    epoch: int
    global_step: int
    stage: str


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A picture, rendered once for all monitors.

    Attributes:
        leaf: name of the leaf that drew it.
        picture: its name within the leaf.
        png: the image file.
        data: the arrays that were drawn, by name; no object arrays.
        epoch, global_step, stage: as of a `Scalar`.

    Example:
        >>> drawn = Drawn(
        ...     leaf="histogram", picture="histogram", png=b"", data={}, epoch=0, global_step=0, stage="val"
        ... )
        >>> drawn.name
        'val/picture/histogram/histogram'
    """

    leaf: str
    picture: str
    png: bytes = field(repr=False)
    data: Mapping[str, NDArray[Any]] = field(repr=False)
    epoch: int
    global_step: int
    stage: str

    @property
    def name(self) -> str:
        """`<stage>/picture/<leaf>/<picture>`."""
        return f"{self.stage}/picture/{self.leaf}/{self.picture}"


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How the values of a tensor are distributed, counted once for all monitors.

    Attributes:
        name: `train/<weight|gradient>/<parameter>`.
        counts: (n,) values a bin.
        edges: (n + 1,) limits of the bins; the last bin includes its upper one.
        mean, std: of the finite values.
        n_nonfinite: values that are NaN or infinite, in no bin.
        epoch, global_step: as of a `Scalar`.

    Example:
        >>> found = histogram_of(
        ...     "train/weight/pca.components", np.array([0.0, 1.0, 1.0]), epoch=0, global_step=0, bins=2
        ... )
        >>> found.counts.tolist(), found.edges.tolist()
        ([1, 2], [0.0, 0.5, 1.0])
    """

    name: str
    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    mean: float
    std: float
    n_nonfinite: int
    epoch: int
    global_step: int


def histogram_of(
    name: str, values: NDArray[Any], *, epoch: int, global_step: int, bins: int = 64
) -> Histogram:
    """Return the histogram of an array's finite values, in `bins` bins of equal width."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    finite = flat[np.isfinite(flat)]
    counts, edges = np.histogram(finite, bins=bins)
    return Histogram(
        name=name,
        counts=counts,
        edges=edges,
        mean=float(finite.mean()) if len(finite) else 0.0,
        std=float(finite.std()) if len(finite) else 0.0,
        n_nonfinite=len(flat) - len(finite),
        epoch=epoch,
        global_step=global_step,
    )


@dataclass(frozen=True, kw_only=True)
class Text:
    """A titled text in Markdown, such as facts about the data set.

    Attributes:
        name: the title.
        text: the text.
        facts: what the text is a table of, as plain values by name; empty for other texts.

    Example:
        >>> Text(name="data", text="12 cubes in `Lentils`").name
        'data'
    """

    name: str
    text: str
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OutlineNode:
    """One node or leaf of a graph.

    Attributes:
        name: its name in the graph.
        kind: its class.
        arguments: its constructor arguments, as text.
        parents: names of the nodes that it reads; of the one that it is attached to, for a leaf.
        is_leaf: whether it is a loss, metric or picture.

    Example:
        >>> rx = OutlineNode(
        ...     name="rx", kind="RXGlobal", arguments={"eps": "0.0"}, parents=("pca",), is_leaf=False
        ... )
        >>> rx.parents
        ('pca',)
    """

    name: str
    kind: str
    arguments: Mapping[str, str]
    parents: tuple[str, ...]
    is_leaf: bool


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A graph's structure, parents before children.

    Example:
        >>> rx = OutlineNode(name="rx", kind="RXGlobal", arguments={}, parents=(), is_leaf=False)
        >>> [node.kind for node in Outline(nodes=(rx,)).nodes]
        ['RXGlobal']
    """

    nodes: tuple[OutlineNode, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a monitor is told when a run starts.

    Attributes:
        name: the graph's name.
        settings: what tells one run from another, as nested plain values: the resolved training
            configuration, and the arguments of `nodes`, `leaves` and `data`.
        structure: the graph as Mermaid text.
        resumed_epoch: the first epoch that this run will log, if it goes on from a checkpoint.
        resumed_step: optimizer steps before that checkpoint.

    Example:
        >>> run = Run(name="rx", settings={}, structure="", resumed_epoch=3)
        >>> run.follows({"epoch": 2, "global_step": 20}), run.follows({"epoch": 3, "global_step": 30})
        (True, False)
    """

    name: str
    settings: Mapping[str, Any]
    structure: str
    resumed_epoch: int | None = None
    resumed_step: int | None = None

    def follows(self, row: Mapping[str, Any]) -> bool:
        """Whether a record is older than the checkpoint; a run that goes on will make the others again.

        Args:
            row: the record's content by attribute; `epoch` and `global_step` at least.
        """
        if self.resumed_epoch is None:
            return False
        # A checkpoint may lie within an epoch: after some steps, or after the validation. A value of a
        # training epoch as a whole comes after all others of it.
        closing = row.get("stage") == "train" and "value" in row and not row["name"].endswith("_step")
        within = self.resumed_step is not None and row["global_step"] <= self.resumed_step
        return row["epoch"] < self.resumed_epoch or (within and not closing)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended.

    Attributes:
        holds: which state of the graph it left.
        values: the last value of each name that is logged per epoch.
        failed: whether an error ended it.
        seconds: its duration.

    Example:
        >>> Ending(values={"val/loss/total": 0.5}, failed=False, seconds=12.0).holds
        ''
    """

    values: Mapping[str, float]
    failed: bool
    seconds: float
    holds: str = ""


def readable(name: str, value: float, *, digits: int) -> str:
    """Return a logged value as a person reads it: explained variance in per cent."""
    return f"{value:.1%}" if "explained_variance" in name else f"{value:.{digits}g}"


def numbered(epoch: int, n_epochs: int | None = None) -> str:
    """Return how sentences name an epoch, counted from 0 as in files and from 1: `6 (7th of 10)`."""
    number = epoch + 1
    teens = number % 100 in (11, 12, 13)
    ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{epoch} ({number}{ending}{'' if n_epochs is None else f' of {n_epochs}'})"


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted name: `optimizer.lr`."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
