"""The statistical phase as a map-reduce: sketches of shares of the data, merged and finalized elsewhere."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING

import torch

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.leaf import Truth
from cuvis_ai.leaf.observer import Observer
from cuvis_ai.node.base import reset, reweighting
from cuvis_ai.stats.sketch_record import Plain, as_record, from_record
from cuvis_ai.training.engine.batches import require_data_module, shard_batches
from cuvis_ai.training.engine.parts import Parts
from cuvis_ai.training.engine.planner import context_of, fit_point, from_sketches, plan, sketch_of
from cuvis_ai.training.engine.statistics import checked_stream, finalize_node, observe_nodes

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule


def next_pass(execution: Execution) -> list[str]:
    """Return the nodes that the next pass fits.

    Raises:
        GraphError: none is left, or one of them is not fitted from sketches, or from several passes.
    """
    passes = plan(execution)
    if not passes:
        raise GraphError("sketch: expected nodes that are not fitted yet, got none. Call `reset` first.")
    fits = passes[0]
    several = [name for name in fits if reweighting(execution.nodes[name])]
    if several or not from_sketches(execution, fits):
        label = execution.nodes[(several or fits)[0]].label
        raise GraphError(
            f"{label}: expected nodes that one pass fits from mergeable statistics, got one that needs the "
            "data themselves. Fit it with `graph.train`."
        )
    return fits


@torch.no_grad()
def take_sketches(
    parts: Parts, datamodule: "LightningDataModule", shard: tuple[int, int]
) -> dict[str, Plain]:
    """Return the statistics of a share of the training data, by the node that they fit.

    Raises:
        ConfigError: a shard that is none.
        GraphError: see `next_pass`; or the data do not fit the graph.
    """
    i, n = shard
    if not 1 <= i <= n:
        raise ConfigError(f"sketch: expected `shard` as (i, n) with i from 1 to n, got {shard}.")
    execution = parts.execution
    fits = next_pass(execution)
    require_data_module("sketch", datamodule)
    datamodule.setup("fit")
    parts.check_data(datamodule, None)
    loader = shard_batches(datamodule, i - 1, n, context_of(execution, fits, ()))
    stream = checked_stream(loader, execution, execution.device, f"Share {i} of {n}", show_progress=False)
    found = observe_nodes(execution, fits, (), (), stream)
    return {name: as_record(observer.taken(observed)) for name, (observer, observed) in found.items()}


def fit_from_sketches(execution: Execution, records: Sequence[Mapping[str, Plain]]) -> None:
    """Fit the nodes of the next pass from the statistics of all shares; if one fails, none is fitted.

    Raises:
        GraphError: the statistics are not those that the nodes need.
    """
    fits = next_pass(execution)
    if any(sorted(record) != sorted(fits) for record in records):
        raise GraphError(f"fit_from: expected statistics of {fits}, got those of {sorted(records[0])}.")
    try:
        for name in fits:
            kind = sketch_of(execution.nodes[name])
            assert kind is not None
            shares = [from_record(kind(), record[name]) for record in records]
            observer = Observer(execution)
            truth = Truth.USED if kind.sees_truth else Truth.UNUSED
            observed = observer.observe(fit_point(execution, name), kind, truth=truth)
            observer.put(observed, reduce(lambda a, b: a.merge(b), shares))
            finalize_node(execution.nodes[name], observer, observed, ())
    except BaseException as err:
        for name in fits:
            reset(execution.nodes[name])
        # Numbers of other shapes than the sketch's own: what torch raises then says no more.
        if isinstance(err, RuntimeError | IndexError | ValueError) and not isinstance(err, GraphError):
            raise GraphError(f"fit_from: expected statistics that fit together, got others: {err}") from err
        raise
