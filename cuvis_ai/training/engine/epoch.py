"""What the leaves make of an epoch: losses pooled over pixels, metrics from merged sketches.

Values are of the epoch, over all pixels of all batches and ranks, never a mean of values per batch.
Logged names are made here and nowhere else.
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cuvis_ai.errors import GraphError, NonFiniteLossError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.execution.topology import snake_case, unique_name
from cuvis_ai.leaf import CompositeLoss, Loss, Metric, Observation, PooledLoss, Sketches, View, Visualization
from cuvis_ai.leaf.bases import Attached
from cuvis_ai.leaf.observer import Observed, Observer
from cuvis_ai.leaf.reading import BATCH_KEYS, Evaluation, points_of, view_of
from cuvis_ai.node.base import Node
from cuvis_ai.stats import Sketch, Structure
from cuvis_ai.stats.ranks import share_of_rank
from cuvis_ai.training.threshold import stored_threshold
from cuvis_ai.types import Point

START = "start"
"""The stage of the validation before the first step."""


def logged(stage: str, kind: str, name: str) -> str:
    """Return the name under which a value is logged; `kind` is loss or metric."""
    return f"{stage}/{kind}/{name}"


def free_name(name: str, parent: Node, taken: Iterable[str]) -> str:
    """Return `name`; for a second leaf of that name, with its parent's name before it."""
    names = set(taken)
    return name if name not in names else unique_name(f"{parent.name}_{name}", names)


def points_read(
    attached: Iterable[Attached[Loss] | Attached[Visualization]], execution: Execution
) -> tuple[Point, ...]:
    """Return where leaves read, besides what they observe; each point once."""
    points = (points_of(one.leaf.reads(), one.parent, execution).values() for one in attached)
    return tuple(dict.fromkeys(chain.from_iterable(points)))


class BatchLosses(NamedTuple):
    """The losses of one batch, unweighted, by name."""

    values: dict[str, Tensor]
    sums: dict[str, Tensor]
    """Those that losses are functions of, where they declare them."""


class Losses:
    """The losses of a graph, and the composites through which some of them count in the total."""

    def __init__(
        self,
        execution: Execution,
        attached: Iterable[Attached[Loss]],
        composites: Iterable[CompositeLoss] = (),
    ) -> None:
        self.execution = execution
        self.by_name: dict[str, Attached[Loss]] = {}
        self.composites = list(composites)
        for one in attached:
            stem = one.leaf.log_name or snake_case(type(one.leaf).__name__)
            self.by_name[free_name(stem, one.parent, self.by_name)] = one
        owned = {name for composite in self.composites for name in composite.child_losses}
        self._logged_as = {one.leaf.name: name for name, one in self.by_name.items()}
        self._free = [name for name, one in self.by_name.items() if one.leaf.name not in owned]

    def points(self) -> tuple[Point, ...]:
        """Where the losses read."""
        return points_read(self.by_name.values(), self.execution)

    @property
    def read_data(self) -> bool:
        """Whether any loss reads more than weights."""
        return any(one.leaf.reads() for one in self.by_name.values())

    def __call__(self, evaluation: Evaluation | None, batch: Mapping[str, Any]) -> "BatchLosses":
        """Return each loss of a batch, unweighted."""
        values: dict[str, Tensor] = {}
        sums: dict[str, Tensor] = {}
        for name, one in self.by_name.items():
            view, leaf = self._view(one, evaluation, batch), one.leaf
            if isinstance(leaf, PooledLoss):
                sums[name] = leaf.sums(view)
            values[name] = leaf.of_sums(sums[name]) if isinstance(leaf, PooledLoss) else leaf(view)
            if values[name].ndim:
                shape = tuple(values[name].shape)
                raise GraphError(f"{leaf.label}: expected a scalar loss, got shape {shape}.")
        return BatchLosses(values, sums)

    def _view(self, one: Attached[Loss], evaluation: Evaluation | None, batch: Mapping[str, Any]) -> View:
        reads = one.leaf.reads()
        view = view_of(reads, one.parent, self.execution, evaluation, batch)
        for read in reads - view.values.keys():
            raise GraphError(
                f'{one.leaf.label}: expected batch["{BATCH_KEYS[read]}"], got keys {sorted(batch)}. '
                f"Use a data set with `{BATCH_KEYS[read]}`, or remove this loss."
            )
        return view

    def total(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the sum of what counts: free losses by their weights, and the composites."""
        terms = [self.by_name[name].leaf.weight * values[name] for name in self._free]
        for composite in self.composites:
            children = [values[self._logged_as[str(name)]] for name in composite.child_losses]
            terms.append(composite.combine(torch.stack(children)))
        return torch.stack(terms).sum()

    def shared(self, values: Mapping[str, Tensor], n_valid: int | Tensor) -> Mapping[str, Tensor]:
        """Return losses that, averaged over ranks, are those of all ranks' valid pixels together.

        Losses on weights alone are the same on every rank already.
        """
        if not self.read_data:
            return values
        share = share_of_rank(n_valid, next(iter(values.values())).detach())
        return {
            name: value * share if self.by_name[name].leaf.reads() else value
            for name, value in values.items()
        }

    def raise_if_not_finite(self, values: Mapping[str, Tensor], where: str) -> None:
        """Raise a `NonFiniteLossError` that names the leaves, if any loss of a batch is not finite.

        Args:
            values: what a call returned.
            where: the epoch and step.
        """
        finite = torch.stack([value.detach() for value in values.values()]).isfinite().tolist()
        bad = [self.by_name[name].leaf.label for name, good in zip(values, finite, strict=True) if not good]
        if bad:
            raise NonFiniteLossError(
                f"{', '.join(bad)}: NaN or infinite in {where}. Lower the learning rate, clip gradients with "
                f"gradient_clip_val, or look for extreme values in the data. The weights are those "
                f"from before the step."
            )

    def unfitted(self) -> list[Loss]:
        """The losses that are fitted from training masks."""
        return [one.leaf for one in self.by_name.values() if one.leaf.sketch is not None]

    def reached(self) -> set[str]:
        """Nodes whose weights some loss depends on."""
        topology = self.execution.topology
        found: set[str] = set()
        for one in self.by_name.values():
            assert one.parent.name is not None
            parent = one.parent.name
            points = [*points_read([one], self.execution), (parent,)] if one.leaf.reads() else []
            found.add(parent)
            found.update(*(topology.ancestors(point) for point in points))
        return found


def n_valid(evaluation: Evaluation | None) -> int | Tensor:
    """Return the number of pixels of a batch that count."""
    if evaluation is None:
        return 1
    if evaluation.counted is not None:
        return evaluation.counted.sum()
    cube = next(iter(evaluation.values.values()), None)
    return 1 if cube is None else cube.shape[0] * cube.shape[2] * cube.shape[3]


class Metrics:
    """The metrics of a graph over one epoch, from the sketches of an observer."""

    def __init__(
        self, execution: Execution, attached: Iterable[Attached[Metric]], observer: Observer
    ) -> None:
        self.attached = list(attached)
        self.observer = observer
        self._observed = [
            observed_by(observer, one.leaf.observes(), one.parent, execution) for one in self.attached
        ]

    def compute(self, stage: str, *, fit: bool) -> dict[str, float]:
        """Return the values by logged name; the observer has finished.

        Args:
            stage: the stage in their names.
            fit: whether metrics with a state first set it.
        """
        values: dict[str, float] = {}
        for one, observed in zip(self.attached, self._observed, strict=True):
            if ("val" if stage == START else stage) not in one.leaf.stages:
                continue
            sketches = sketches_of(self.observer, observed)
            if fit:
                one.leaf.fit(sketches)
            for name, value in self._values(one, sketches, stage).items():
                values[free_name(name, one.parent, values)] = float(value)
        return {logged(stage, "metric", name): value for name, value in values.items()}

    def _values(self, one: Attached[Metric], sketches: Sketches, stage: str) -> dict[str, float]:
        if stage != "test":
            return one.leaf.compute(one.parent, sketches)
        beside = [other.leaf for other in self.attached if other.parent is one.parent]
        return one.leaf.compute_test(one.parent, sketches, stored_threshold(one.parent, beside))


def observed_by(
    observer: Observer, wanted: Mapping[str, Observation], parent: Node, execution: Execution
) -> dict[str, Observed]:
    """Ask an observer for the sketches that a leaf needs; return what it gave, by the leaf's names."""
    # A dense map leaves fewer channels than it takes: cheaper to take the sketch after it.
    return {
        name: observer.observe(
            points_of([one.where], parent, execution)[one.where],
            one.sketch,
            truth=one.truth,
            least=Structure.CHANNELWISE,
        )
        for name, one in wanted.items()
    }


def sketches_of(observer: Observer, observed: Mapping[str, Observed]) -> dict[str, Sketch]:
    """Return the sketches that a leaf asked for, by its names."""
    return {name: observer.sketch(one) for name, one in observed.items()}
