"""The statistical phase: fits nodes, and losses that need it, in passes over the training data."""

import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from tqdm.auto import tqdm

from cuvis_ai.errors import GraphError
from cuvis_ai.execution.batch_gate import checked_batch, pixel_flags
from cuvis_ai.execution.execution import Execution
from cuvis_ai.execution.strips import strips
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf import Loss, Truth
from cuvis_ai.leaf.observer import Observed, Observer
from cuvis_ai.leaf.reading import Evaluation
from cuvis_ai.node.base import FittedNode, Node, anomalous_label, follower, mark_initialized, reset
from cuvis_ai.training.engine.batches import length_of, why_no_pixel
from cuvis_ai.training.engine.planner import context_of, fit_point, from_sketches, plan, sketch_of
from cuvis_ai.training.engine.reweighting import Reweighting
from cuvis_ai.types import CUBE, CubeTensor

logger = logging.getLogger(__name__)


@torch.no_grad()
def fit_statistics(
    execution: Execution,
    losses: Sequence[Loss],
    batches: Callable[[int], Iterable[Any]],
    device: torch.device,
    *,
    show_progress: bool,
) -> None:
    """Fit every unfitted node; if anything fails, no node is left fitted that was not before.

    Args:
        execution: the graph's nodes.
        losses: losses that are fitted from the training masks; their sketches join the first pass.
        batches: starts a pass over this rank's training data, each item a mapping with `cube`; it is told how
            many pixels of context tiles need.
        device: where the nodes are.
        show_progress: whether a bar is shown.

    Raises:
        GraphError: there is no data, no valid pixel, or a node does not fit its input.
    """
    passes = plan(execution)
    if losses and not (passes and from_sketches(execution, passes[0])):
        passes = [[], *passes]
    if not passes:
        return
    logger.info("Phase 1: Initializing statistical nodes...")
    start = time.perf_counter()
    try:
        for number, fits in enumerate(passes, 1):
            refined = {name for name in fits if any(name in earlier for earlier in passes[: number - 1])}
            context = context_of(execution, fits, refined)
            title = f"Statistics, pass {number} of {len(passes)}"
            loader = batches(context)
            stream = checked_stream(loader, execution, device, title, show_progress=show_progress)
            if from_sketches(execution, fits):
                stream = (part for batch in stream for part in strips(batch, context)) if refined else stream
                with_losses = losses if number == 1 else ()
                for name, taken in observe_nodes(execution, fits, refined, with_losses, stream).items():
                    finalize_node(execution.nodes[name], *taken, loader)
            else:
                _fit_plain(execution, fits[0], stream)
            for name in fits:
                _report(execution.nodes[name])
    except BaseException:  # also where the user interrupts: no graph is left half fitted
        for name in chain.from_iterable(passes):
            reset(execution.nodes[name])
        raise
    logger.info("Phase 1 complete in %.1f seconds", time.perf_counter() - start)


def observe_nodes(
    execution: Execution,
    fits: list[str],
    refined: Collection[str],
    losses: Sequence[Loss],
    stream: Iterable[Mapping[str, Any]],
) -> dict[str, tuple[Observer, Observed]]:
    """Go through the data once; fit losses, and return where the nodes' sketches are."""
    observers: dict[int | None, Observer] = defaultdict(lambda: Observer(execution))  # by what is an anomaly
    of_nodes = {}
    for name in fits:
        if name not in refined and (kind := sketch_of(execution.nodes[name])) is not None:
            observer = observers[anomalous_label(execution.nodes[name])]
            truth = Truth.USED if kind.sees_truth else Truth.UNUSED
            of_nodes[name] = observer, observer.observe(fit_point(execution, name), kind, truth=truth)
    of_losses = {
        loss: observers[None].observe(CUBE, loss.sketch, truth=Truth.REQUIRED)
        for loss in losses
        if loss.sketch is not None
    }
    again = Reweighting(execution, refined)
    observed = chain.from_iterable(observer.points() for observer in observers.values())
    points = tuple(dict.fromkeys((*observed, *again.points())))
    for batch in stream:
        flags = (batch.get("valid"), batch.get("core"))
        if points == (CUBE,) and not refined:  # nothing is computed: sketches pass over bad pixels themselves
            evaluation = Evaluation({CUBE: batch["cube"]}, *flags)
        else:
            evaluation = execution.evaluate(batch["cube"], points, *flags)
        for label, observer in observers.items():
            observer.update(evaluation, batch if label is None else _labelled(batch, label))
        again.update(evaluation)
    for observer in observers.values():
        observer.finish()
    again.finish()
    for loss, one in of_losses.items():
        loss.finalize(observers[None].sketch(one))
    return of_nodes


def _labelled(batch: Mapping[str, Any], label: int) -> Mapping[str, Any]:
    """Return a batch whose mask is a label's pixels; without a mask if it has no labels."""
    labels = batch.get("labels")
    flags = None if labels is None else pixel_flags("labels", labels == label, batch["cube"])
    return {**batch, "mask": flags}


def finalize_node(node: Node, observer: Observer, observed: Observed, loader: object) -> None:
    """Fit a node from the sketch that an observer took for it; the loader says why there is no pixel."""
    assert isinstance(node, FittedNode)
    taken = observer.taken(observed)
    if taken.count < taken.least_count:
        raise GraphError(
            f"{node.label}: expected at least {taken.least_count} valid training pixels, got "
            f"{taken.count}." + ("" if taken.count else f" {why_no_pixel(loader)}")
        )
    if (following := follower(node)) is not None:
        following.remember(taken)
    node.finalize(observer.sketch(observed))


def _fit_plain(execution: Execution, name: str, stream: Iterable[Mapping[str, Any]]) -> None:
    node = execution.nodes[name]
    node.initialize_from_data(_valid_cubes(execution, name, stream))
    mark_initialized(node, True)
    if not node.fitted:
        raise GraphError(f"{node.label}: still not fitted after `initialize_from_data`. Set its state there.")


def _valid_cubes(
    execution: Execution, name: str, stream: Iterable[Mapping[str, Any]]
) -> Iterator[CubeTensor]:
    """Yield what enters a node; of a batch with invalid pixels the others alone, as (1, c, n, 1)."""
    point = execution.input_of(name)
    for batch in stream:
        evaluation = execution.evaluate(batch["cube"], (point,), batch.get("valid"), batch.get("core"))
        cube, counted = evaluation.values[point], evaluation.counted
        if counted is None and bool(torch.isfinite(cube).all()):
            yield cube
            continue
        pixels = pixels_of(cube)
        chosen = torch.isfinite(pixels).all(1)
        if counted is not None:
            chosen &= counted.flatten()
        if bool(chosen.any()):
            yield pixels[chosen].T[None, :, :, None]


def _report(node: Node) -> None:
    logger.info("  Initialized %s", node.label)
    for line in node.fit_report() if isinstance(node, FittedNode) else ():
        logger.info("  %s", line)


def checked_stream(
    loader: Iterable[Any], execution: Execution, device: torch.device, title: str, *, show_progress: bool
) -> Iterator[Mapping[str, Any]]:
    """Yield a pass's batches, checked; advance a bar, with pixels and bytes per second beside it."""
    bar = tqdm(
        total=length_of(loader),
        desc=title,
        unit="batch",
        file=sys.stdout,
        mininterval=0.1 if sys.stdout.isatty() else float("inf"),
        disable=not show_progress,
    )
    pixels = n_bytes = 0
    start = time.perf_counter()
    with bar:
        for batch in loader:
            checked = checked_batch(batch, device, execution.dtype)
            b, _, h, w = checked["cube"].shape
            pixels += b * h * w
            n_bytes += checked["cube"].nbytes
            yield checked
            seconds = time.perf_counter() - start
            rates = f"{_rate(pixels / seconds / 1e6)} Mpx/s, {_rate(n_bytes / seconds / 1e6)} MB/s"
            bar.set_postfix_str(rates, refresh=False)
            bar.update()


def _rate(value: float) -> str:
    """Return a rate with two digits or more, however small it is."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:#.2g}"
