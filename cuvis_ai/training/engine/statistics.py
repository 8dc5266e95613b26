"""The statistical phase: plans the fewest passes over the training data, and makes them.

A node is fitted from a sketch of its input. Where the maps between a point further upstream and
that input carry the sketch exactly, it is taken there and carried along, so MinMax -> PCA -> RX is
one pass: extrema and moments of the cube, then D Σ D behind the normalizer, W Σ Wᵀ behind the PCA.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from cuvis_ai.errors import GraphError
from cuvis_ai.execution.execution import Evaluation, Execution, check_cube
from cuvis_ai.execution.topology import CUBE, Point
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf.bases import Loss
from cuvis_ai.node.base import Node
from cuvis_ai.stats import SharedSketches, Sketch, merged_over_ranks
from cuvis_ai.types import CubeTensor

logger = logging.getLogger(__name__)

Batches = Callable[[], Iterable[Any]]
"""Starts one pass over the training data of this rank."""


@dataclass(frozen=True)
class Pass:
    """One pass over the training data.

    Attributes:
        fits: nodes that are fitted at its end, in topological order.
        observed: for each of them the point where its sketch is taken; empty for a node that is
            fitted by `initialize_from_data`.
    """

    fits: tuple[str, ...]
    observed: dict[str, Point] = field(default_factory=dict)


def plan(execution: Execution) -> list[Pass]:
    """Return the passes that fit every unfitted node, as few as possible."""
    nodes, topology = execution.nodes, execution.topology
    pending = [
        name for name in topology.order() if nodes[name].requires_initial_fit and not nodes[name].fitted
    ]
    passes = []
    while pending:
        observed: dict[str, Point] = {}
        for name in pending:
            point = fit_point(execution, name)
            sketch = nodes[name].sketch
            if sketch is None:
                continue
            base = execution.base(point, sketch.carried_by)
            ready = not topology.ancestors(base) & set(pending)
            carried = topology.ancestors(point) & set(pending)
            if ready and carried <= observed.keys():
                observed[name] = base
        # A node of the plain protocol gets a pass of its own, as soon as all before it are fitted.
        fits = tuple(observed) or (
            next(n for n in pending if not topology.ancestors(fit_point(execution, n)) & set(pending)),
        )
        passes.append(Pass(fits, observed))
        pending = [name for name in pending if name not in fits]
    return passes


def fit_point(execution: Execution, name: str) -> Point:
    """The point whose pixels a node is fitted to: its input, or another node's input and its own."""
    other = execution.nodes[name].fitted_with_input_of
    first = () if other is None else execution.topology.input_of(other)
    return (*first, *execution.topology.input_of(name))


@torch.no_grad()
def fit_statistics(
    execution: Execution,
    losses: Sequence[Loss],
    batches: Batches,
    device: torch.device,
    *,
    show_progress: bool,
) -> None:
    """Fit every unfitted node; if anything fails, no node is left fitted that was not before.

    Args:
        execution: the graph's nodes.
        losses: losses that are fitted from the training masks; their sketches join the first pass.
        batches: starts a pass over this rank's training data, each item a mapping with `cube`.
        device: where the nodes are.
        show_progress: whether a bar is shown.

    Raises:
        GraphError: there is no data, no valid pixel, or a node does not fit its input.
    """
    passes = plan(execution)
    if losses and not (passes and passes[0].observed):
        passes = [Pass(()), *passes]
    if not passes:
        return
    logger.info("Phase 1: Initializing statistical nodes...")
    start = time.perf_counter()
    complete = False
    try:
        for number, one in enumerate(passes, 1):
            loader = batches()
            checked = (checked_batch(batch, device, execution.dtype) for batch in loader)
            stream = _progress(
                checked,
                tqdm(
                    total=len(loader) if isinstance(loader, Sized) else None,
                    desc=f"Statistics, pass {number} of {len(passes)}",
                    unit="batch",
                    file=sys.stdout,
                    mininterval=0.1 if sys.stdout.isatty() else float("inf"),
                    disable=not show_progress,
                ),
            )
            if one.fits and not one.observed:
                _fit_plain(execution, one.fits[0], stream)
            else:
                _fit_from_sketches(execution, one, losses if number == 1 else (), stream, device)
            for name in one.fits:
                _report(execution.nodes[name])
        complete = True
    finally:
        if not complete:
            for name in (name for one in passes for name in one.fits):
                execution.nodes[name].forget()
    logger.info("Phase 1 complete in %.1f seconds", time.perf_counter() - start)


def _fit_from_sketches(
    execution: Execution,
    one: Pass,
    losses: Sequence[Loss],
    stream: Iterable[Mapping[str, Any]],
    device: torch.device,
) -> None:
    nodes = execution.nodes
    of_losses = {loss: loss.sketch for loss in losses if loss.sketch is not None}
    wanted: dict[Point, list[type[Sketch]]] = {}
    for name, base in one.observed.items():
        kinds, kind = wanted.setdefault(base, []), _sketch_of(nodes[name])
        if kind not in kinds:
            kinds.append(kind)
    shared = {point: SharedSketches(kinds) for point, kinds in wanted.items()}
    masked = SharedSketches(list(of_losses.values()))
    points = tuple(dict.fromkeys([*wanted, *([CUBE] if of_losses else [])]))
    for batch in stream:
        if points == (CUBE,):  # nothing is computed: sketches pass over bad pixels themselves
            cube = batch["cube"].contiguous(memory_format=torch.channels_last)
            evaluation = Evaluation({CUBE: cube}, batch.get("valid"))
        else:
            evaluation = execution.evaluate(batch["cube"], points, batch.get("valid"))
        valid = None if evaluation.valid is None else evaluation.valid.flatten()
        for point, sketches in shared.items():
            sketches.update(pixels_of(evaluation.values[point]), valid)
        if of_losses and (mask := batch.get("mask")) is not None:
            masked.update(pixels_of(evaluation.values[CUBE]), valid, mask.flatten())
    for loss, counted in zip(of_losses, masked.merged(), strict=True):
        loss.finalize(merged_over_ranks(counted, device))
    sketches_at = {
        (point, kind): merged_over_ranks(sketch, device)
        for point, kinds in wanted.items()
        for kind, sketch in zip(kinds, shared[point].merged(), strict=True)
    }
    for name, base in one.observed.items():
        node = nodes[name]
        sketch = sketches_at[base, _sketch_of(node)]
        _check_count(node, sketch)
        affine = execution.affine(fit_point(execution, name), base, sketch.channels)
        if node.follows:
            node.remember(sketch)
        node.finalize(sketch if affine is None else sketch.through(affine))


def _sketch_of(node: Node) -> type[Sketch]:
    assert node.sketch is not None
    return node.sketch


def _check_count(node: Node, sketch: Sketch) -> None:
    if sketch.count < sketch.least_count:
        raise GraphError(
            f"{node.label}: expected at least {sketch.least_count} valid training pixels, got "
            f"{sketch.count}. Likely causes: the training set is empty, its `valid` mask is False "
            f"everywhere, or every pixel has a NaN or infinite band."
        )


def _fit_plain(execution: Execution, name: str, stream: Iterable[Mapping[str, Any]]) -> None:
    node = execution.nodes[name]
    point = execution.topology.input_of(name)

    def cubes() -> Iterator[CubeTensor]:
        for batch in stream:
            evaluation = execution.evaluate(batch["cube"], (point,), batch.get("valid"))
            cube = evaluation.values[point]
            if evaluation.valid is None and bool(torch.isfinite(cube).all()):
                yield cube
                continue
            pixels = pixels_of(cube)
            kept = torch.isfinite(pixels).all(1)
            if evaluation.valid is not None:
                kept &= evaluation.valid.flatten()
            if bool(kept.any()):
                yield pixels[kept].T[None, :, :, None]

    node.initialize_from_data(cubes())
    if not node.fitted:
        raise GraphError(f"{node.label}: still not fitted after `initialize_from_data`. Set its state there.")


def _report(node: Node) -> None:
    logger.info("  Initialized %s", node.label)
    for line in node.fit_report():
        logger.info("  %s", line)


def _progress(batches: Iterable[Mapping[str, Any]], bar: "tqdm[Any]") -> Iterator[Mapping[str, Any]]:
    """Yield the batches; advance the bar, with pixels and bytes per second behind it."""
    pixels = n_bytes = 0
    start = time.perf_counter()
    with bar:
        for batch in batches:
            b, _, h, w = batch["cube"].shape
            pixels += b * h * w
            n_bytes += batch["cube"].nbytes
            yield batch
            seconds = time.perf_counter() - start
            rates = f"{pixels / seconds / 1e6:.1f} Mpx/s, {n_bytes / seconds / 1e6:.0f} MB/s"
            bar.set_postfix_str(rates, refresh=False)
            bar.update()


def checked_batch(batch: Any, device: torch.device, dtype: torch.dtype) -> Mapping[str, Any]:
    """Return a loader's batch with its tensors on the device, or raise a `GraphError`."""
    if not isinstance(batch, Mapping) or "cube" not in batch:
        got = f"keys {sorted(batch)}" if isinstance(batch, Mapping) else type(batch).__name__
        raise GraphError(
            f'batch: expected a mapping with the key "cube", got {got}. See `cuvis_ai.types.Batch`.'
        )
    check_cube(batch["cube"], dtype)
    return {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for key, value in batch.items()
    }
