"""What the leaves make of an epoch: losses pooled by valid pixel, metrics from merged sketches.

Values are of the epoch, over all pixels of all batches and ranks, never a mean of values per batch.
Logged names are made here and nowhere else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from cuvis_ai.errors import GraphError, NonFiniteLossError
from cuvis_ai.execution.execution import Evaluation, Execution
from cuvis_ai.execution.topology import Point, snake_case, unique_name
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.functional.regions import region_weights
from cuvis_ai.leaf.bases import CompositeLoss, Leaf, Loss, Metric, Read, View
from cuvis_ai.node.base import Node
from cuvis_ai.stats import Sketch, Structure, merged_over_ranks, update_all
from cuvis_ai.stats.ranks import sum_over_ranks

L = TypeVar("L", bound=Leaf)


@dataclass(frozen=True)
class Hung(Generic[L]):
    """A leaf and the name of the node that it hangs on."""

    leaf: L
    parent: str


def logged(stage: str, kind: str, name: str) -> str:
    """Return the name under which a value is logged; `kind` is loss or metric."""
    return f"{stage}/{kind}/{name}"


def free_name(name: str, parent: str, taken: Iterable[str]) -> str:
    """Return `name`; for a second leaf of that name, with its parent's name in front."""
    names = set(taken)
    return name if name not in names else unique_name(f"{parent}_{name}", names)


class Losses:
    """The losses of a graph, and the composites through which some of them count in the total."""

    def __init__(
        self, execution: Execution, hung: Iterable[Hung[Loss]], composites: Iterable[CompositeLoss] = ()
    ) -> None:
        self.execution = execution
        self.by_name: dict[str, Hung[Loss]] = {}
        self.composites = list(composites)
        for one in hung:
            stem = one.leaf.log_name or snake_case(type(one.leaf).__name__)
            self.by_name[free_name(stem, one.parent, self.by_name)] = one
        owned = {name for composite in self.composites for name in composite.child_losses}
        self._logged_as = {one.leaf.name: name for name, one in self.by_name.items()}
        self._free = [name for name, one in self.by_name.items() if one.leaf.name not in owned]

    def points(self) -> tuple[Point, ...]:
        """Where the losses read."""
        places = [self._places(one).values() for one in self.by_name.values()]
        return tuple(dict.fromkeys(point for of_one in places for point in of_one))

    @property
    def read_data(self) -> bool:
        """Whether any loss reads more than weights."""
        return any(one.leaf.reads() for one in self.by_name.values())

    def _places(self, one: Hung[Loss]) -> dict[Read, Point]:
        topology = self.execution.topology
        places: dict[Read, Callable[[], Point]] = {
            Read.INPUT: lambda: topology.input_of(one.parent),
            Read.OUTPUT: lambda: (one.parent,),
            Read.ENCODER_INPUT: lambda: topology.input_of(
                self.execution.nodes[one.parent].decodes or one.parent
            ),
        }
        return {read: places[read]() for read in one.leaf.reads() if read in places}

    def __call__(self, evaluation: Evaluation | None, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return each loss of a batch, unweighted."""
        return {name: self._loss(one, evaluation, batch) for name, one in self.by_name.items()}

    def _loss(self, one: Hung[Loss], evaluation: Evaluation | None, batch: Mapping[str, Any]) -> Tensor:
        values: dict[Read, Tensor] = {}
        for read, point in self._places(one).items():
            assert evaluation is not None
            values[read] = evaluation.values[point]
        for read, key in ((Read.MASK, "mask"), (Read.LABELS, "labels")):
            if read in one.leaf.reads():
                if key not in batch:
                    raise GraphError(
                        f'{one.leaf.label}: expected batch["{key}"], got keys {sorted(batch)}. '
                        f"Use a data set with `{key}`, or remove this loss."
                    )
                values[read] = batch[key]
        valid = None if evaluation is None else evaluation.valid
        result: Tensor = one.leaf(View(self.execution.nodes[one.parent], values, valid))
        if result.ndim:
            raise GraphError(f"{one.leaf.label}: expected a scalar loss, got shape {tuple(result.shape)}.")
        return result

    def total(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the sum of what counts: free losses by their weights, and the composites."""
        terms = [self.by_name[name].leaf.weight * values[name] for name in self._free]
        for composite in self.composites:
            children = [values[self._logged_as[str(name)]] for name in composite.child_losses]
            terms.append(composite.combine(torch.stack(children)))
        return torch.stack(terms).sum()

    def unfitted(self) -> list[Loss]:
        """The losses that are fitted from training masks."""
        return [one.leaf for one in self.by_name.values() if one.leaf.sketch is not None]

    def reached(self) -> set[str]:
        """Nodes whose weights some loss depends on."""
        topology = self.execution.topology
        found: set[str] = set()
        for one in self.by_name.values():
            points = [*self._places(one).values(), (one.parent,)] if one.leaf.reads() else []
            found.add(one.parent)
            found.update(*(topology.ancestors(point) for point in points))
        return found


class LossGuard:
    """Notices losses that are not finite, on the device: looking at the flags is left to `raise_if_seen`."""

    def __init__(self, losses: Losses) -> None:
        self.losses = losses
        self._seen: Tensor | None = None

    def look_at(self, values: Mapping[str, Tensor]) -> None:
        """Keep which losses of a batch are not finite."""
        bad = ~torch.isfinite(torch.stack([value.detach() for value in values.values()]))
        self._seen = bad if self._seen is None else self._seen | bad

    def raise_if_seen(self, epoch: int) -> None:
        """Raise a `NonFiniteLossError` that names the leaves, if any loss was not finite so far."""
        if self._seen is None or not bool(self._seen.any()):
            return
        hung = list(self.losses.by_name.values())
        named = ", ".join(one.leaf.label for one, bad in zip(hung, self._seen.tolist(), strict=True) if bad)
        raise NonFiniteLossError(
            f"{named}: NaN or infinite in epoch {epoch + 1}. Lower the learning rate, clip gradients with "
            f"gradient_clip_val, or look for extreme values in the data. Training stopped; no checkpoint was "
            f"written since."
        )


class LossMeans:
    """Means of the losses over an epoch, weighted by valid pixels; losses on weights by step.

    Args:
        losses: the losses.
        device: where they are computed.
        so_far: the sums of the batches before, where a checkpoint was written within the epoch.
    """

    def __init__(
        self, losses: Losses, device: torch.device, so_far: Mapping[str, Tensor] | None = None
    ) -> None:
        self.losses = losses
        # Apple's devices have no float64.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.sums = {name: torch.zeros(2, dtype=dtype, device=device) for name in losses.by_name}
        for name, sums in (so_far or {}).items():
            self.sums[name].copy_(sums)

    def update(self, values: Mapping[str, Tensor], n_valid: int | Tensor) -> None:
        """Take in the losses of a batch with that many valid pixels."""
        for name, value in values.items():
            sums = self.sums[name]
            n = n_valid if self.losses.by_name[name].leaf.reads() else 1
            sums[0] += value.detach() * n
            sums[1] += n

    def compute(self, stage: str) -> dict[str, float]:
        """Return the values by logged name, and `<stage>/loss/total`, their weighted sum."""
        if not self.sums:
            return {}
        stacked = sum_over_ranks(torch.stack(list(self.sums.values())))
        means = dict(zip(self.sums, stacked[:, 0] / stacked[:, 1].clamp(min=1), strict=True))
        with torch.no_grad():
            total = self.losses.total(means)
        return {
            logged(stage, "loss", name): float(value) for name, value in {**means, "total": total}.items()
        }


def n_valid(evaluation: Evaluation | None) -> int | Tensor:
    """Return the number of valid pixels of a batch."""
    if evaluation is None:
        return 1
    if evaluation.valid is not None:
        return evaluation.valid.sum()
    cube = next(iter(evaluation.values.values()), None)
    return 1 if cube is None else cube.shape[0] * cube.shape[2] * cube.shape[3]


_Key = tuple[Point, object, bool]
"""Where a sketch is taken, what makes it, and whether it needs the truth."""


class Metrics:
    """The metrics of a graph over one epoch; sketches of the same pixels are shared."""

    def __init__(self, execution: Execution, hung: Iterable[Hung[Metric]], device: torch.device) -> None:
        self.execution = execution
        self.hung = list(hung)
        self.device = device
        self.sketches: dict[_Key, Sketch] = {}
        self._wanted: list[dict[str, tuple[Point, _Key]]] = []
        for one in self.hung:
            self._wanted.append(self._observations(one))

    def _observations(self, one: Hung[Metric]) -> dict[str, tuple[Point, _Key]]:
        """For each observation its point, and the key of the sketch that serves it."""
        wanted: dict[str, tuple[Point, _Key]] = {}
        for name, observation in one.leaf.observes().items():
            sketch = observation.sketch()
            inside = observation.where is Read.INPUT
            point = self.execution.topology.input_of(one.parent) if inside else (one.parent,)
            # A dense map has fewer channels behind it than before: cheaper to take the sketch there.
            least = max(Structure.CHANNELWISE, sketch.carried_by)
            key = (self.execution.base(point, least), observation.sketch, observation.with_truth)
            self.sketches.setdefault(key, sketch)
            wanted[name] = (point, key)
        return wanted

    def points(self) -> tuple[Point, ...]:
        """Where the metrics read."""
        return tuple(dict.fromkeys(point for point, _, _ in self.sketches))

    @torch.no_grad()
    def update(self, evaluation: Evaluation, batch: Mapping[str, Any]) -> None:
        """Take in a batch; sketches that need a mask pass over a batch without one."""
        valid = None if evaluation.valid is None else evaluation.valid.flatten()
        mask = batch.get("mask")
        weights = None if mask is None else region_weights(mask, evaluation.valid).flatten()
        for point in self.points():
            pixels = pixels_of(evaluation.values[point])
            here = [(key[2], sketch) for key, sketch in self.sketches.items() if key[0] == point]
            update_all([sketch for truth, sketch in here if not truth], pixels, valid)
            if weights is not None:
                update_all([sketch for truth, sketch in here if truth], pixels, valid, weights)

    def compute(self, stage: str) -> dict[str, float]:
        """Return the values by logged name, merged over ranks."""
        merged = {key: merged_over_ranks(sketch, self.device) for key, sketch in self.sketches.items()}
        values: dict[str, float] = {}
        for one, wanted in zip(self.hung, self._wanted, strict=True):
            if stage not in one.leaf.stages:
                continue
            of_leaf = {name: self._carried(point, key, merged[key]) for name, (point, key) in wanted.items()}
            for name, value in one.leaf.compute(self._node(one), of_leaf).items():
                values[free_name(name, one.parent, values)] = float(value)
        return {logged(stage, "metric", name): value for name, value in values.items()}

    def _node(self, one: Hung[Metric]) -> Node:
        return self.execution.nodes[one.parent]

    def _carried(self, point: Point, key: _Key, sketch: Sketch) -> Sketch:
        if sketch.count == 0:
            return sketch
        affine = self.execution.affine(point, key[0], sketch.channels)
        return sketch if affine is None else sketch.through(affine)
