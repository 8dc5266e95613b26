"""The fit of a threshold to the scores of one split, apart from training."""

from collections.abc import Iterable
from typing import Any

import torch

from cuvis_ai.execution.batch_gate import checked_batch
from cuvis_ai.leaf.observer import Observer
from cuvis_ai.node.base import Node
from cuvis_ai.training.engine.epoch import observed_by, sketches_of
from cuvis_ai.training.engine.parts import Parts
from cuvis_ai.training.threshold import Threshold


@torch.no_grad()
def fit_threshold(parts: Parts, threshold: Threshold, node: Node, batches: Iterable[Any]) -> None:
    """Set a threshold by its rule.

    Args:
        parts: the graph.
        threshold: what is set; it need not be attached.
        node: whose output the scores are.
        batches: those of the split.

    Raises:
        GraphError: there are no scores, or no masks where the rule needs them.
    """
    observer = Observer(parts.execution)
    observed = observed_by(observer, threshold.observes(), node, parts.execution)
    if not observed:  # a fixed number
        return
    for batch in batches:
        checked = checked_batch(batch, parts.execution.device, parts.execution.dtype)
        flags = (checked.get("valid"), checked.get("core"))
        evaluation = parts.execution.evaluate(checked["cube"], observer.points(), *flags)
        observer.update(evaluation, checked)
    observer.finish()
    threshold.fit(sketches_of(observer, observed))
