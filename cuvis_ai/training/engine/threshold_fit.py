"""The fit of a threshold to the scores of one split, apart from training."""

from typing import TYPE_CHECKING

import torch

from cuvis_ai.execution.batch_gate import checked_batch
from cuvis_ai.leaf.observer import Observer
from cuvis_ai.node.base import Node, require_fitted
from cuvis_ai.training.engine.epoch import observed_by, sketches_of
from cuvis_ai.training.engine.parts import Parts
from cuvis_ai.training.engine.trainer import split_loader
from cuvis_ai.training.threshold import Threshold

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule


@torch.no_grad()
def fit_threshold(
    parts: Parts, threshold: Threshold, node: Node, datamodule: "LightningDataModule", split: str
) -> None:
    """Set a threshold by its rule.

    Args:
        parts: the graph.
        threshold: what is set; it need not be attached.
        node: whose output the scores are.
        datamodule: has the split.
        split: train, val or test.

    Raises:
        GraphError: the split has no data, or no masks where the rule needs them.
        NotFittedError: a node is not fitted.
    """
    for one in parts.execution.nodes.values():
        require_fitted(one)
    observer = Observer(parts.execution)
    observed = observed_by(observer, threshold.observes(), node, parts.execution)
    if not observed:  # a fixed number
        return
    for batch in split_loader(parts, datamodule, split):
        checked = checked_batch(batch, parts.execution.device, parts.execution.dtype)
        flags = (checked.get("valid"), checked.get("core"))
        evaluation = parts.execution.evaluate(checked["cube"], observer.points(), *flags)
        observer.update(evaluation, checked)
    observer.finish()
    threshold.fit(sketches_of(observer, observed))
