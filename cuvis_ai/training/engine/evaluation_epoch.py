"""An epoch without gradients: losses, metrics and pictures of one pass over validation or test batches."""

from collections.abc import Mapping
from typing import Any

import torch

from cuvis_ai.leaf.observer import Observer
from cuvis_ai.leaf.reading import Evaluation
from cuvis_ai.training.engine.epoch import Losses, Metrics, n_valid
from cuvis_ai.training.engine.loss_means import LossMeans
from cuvis_ai.training.engine.parts import Parts
from cuvis_ai.training.engine.pictures import Pictures
from cuvis_ai.types import Point


class EvaluationEpoch:
    """What one pass over a split gives.

    Args:
        parts: the graph; its metrics are computed.
        losses: the losses that are averaged.
        pictures: what collects for its drawings; those that have been started.
        device: where the nodes are.
    """

    def __init__(self, parts: Parts, losses: Losses, pictures: Pictures, device: torch.device) -> None:
        self.observer = Observer(parts.execution)
        self.losses = losses
        self.pictures = pictures
        self.means = LossMeans(losses, device)
        self.metrics = Metrics(parts.execution, parts.metrics, self.observer)

    def points(self) -> tuple[Point, ...]:
        """Where something is read."""
        return (*self.losses.points(), *self.observer.points(), *self.pictures.points())

    def update(self, evaluation: Evaluation | None, batch: Mapping[str, Any]) -> None:
        """Take in a batch; without an evaluation there is a number in its place, as no cube is read."""
        if evaluation is None and self.losses.read_data:
            return  # a rank that has no cubes
        self.means.update(self.losses(evaluation, batch), n_valid(evaluation))
        if evaluation is not None:
            self.observer.update(evaluation, batch)
        self.pictures.collect(evaluation, batch)

    def compute(self, stage: str, *, fit: bool) -> dict[str, float]:
        """Return losses and metrics by logged name; `fit` lets metrics with a state set it first."""
        self.observer.finish()
        return {**self.means.compute(stage), **self.metrics.compute(stage, fit=fit)}
