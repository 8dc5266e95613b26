"""The optimizer and the learning rate, as the settings order them."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from cuvis_ai.leaf.bases import Loss, Read, View
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import OptimizerConfig, SchedulerConfig, TrainerConfig, TrainingConfig
from cuvis_ai.training.engine.optimizers import optimizer_of
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.monitors import DummyMonitor
from tests.cubes import Batches, as_batches, random_cubes


class Energy(Loss):
    """Mean square of the output."""

    def reads(self) -> frozenset[Read]:
        return frozenset({Read.OUTPUT})

    def forward(self, view: View) -> torch.Tensor:
        return view[Read.OUTPUT].square().mean()


def settings(max_epochs: int, **others: Any) -> TrainingConfig:
    return TrainingConfig(trainer=TrainerConfig(max_epochs=max_epochs, enable_progress_bar=False), **others)


def trained_components(
    orthogonal: Literal["soft", "hard"], name: Literal["adam", "adamw", "sgd"], weight_decay: float
) -> torch.Tensor:
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3, trainable=True, orthogonal=orthogonal))
    graph.add_leaf_node(Energy(), parent=pca)
    optimizer = OptimizerConfig(name=name, lr=0.01, weight_decay=weight_decay)
    graph.train(Batches(as_batches(random_cubes(8))), settings(3, optimizer=optimizer))
    return pca.components.detach().clone()


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_weight_decay_shrinks_weights_but_nothing_upstream_of_a_parametrization(
    name: Literal["adam", "adamw", "sgd"],
) -> None:
    """What a hard-orthogonal W is made from has no length to shrink: decay would pull W towards the start."""
    assert torch.equal(trained_components("hard", name, 0.1), trained_components("hard", name, 0.0))
    assert not torch.equal(trained_components("soft", name, 0.1), trained_components("soft", name, 0.0))


def test_learning_rate_never_falls_below_its_minimum(tmp_path: Path) -> None:
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3, trainable=True))
    graph.add_leaf_node(OrthogonalityLoss(), parent=pca)  # 0 from the start: nothing improves
    graph.register_monitor(DummyMonitor(tmp_path))
    scheduler = SchedulerConfig(factor=0.1, patience=0, min_lr=0.05)
    train = settings(6, optimizer=OptimizerConfig(lr=1.0), scheduler=scheduler)
    graph.train(Batches(as_batches(random_cubes(4)), as_batches(random_cubes(2))), train)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    rates = [row["value"] for row in rows if row["name"] == "train/metric/learning_rate"]
    assert rates[0] == 1.0
    assert rates[-2:] == [0.05, 0.05] == [min(rates)] * 2


def test_momentum_of_sgd_by_its_recurrence() -> None:
    """v = 0.5 v + g, w = w − 0.1 v."""
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = optimizer_of(OptimizerConfig(name="sgd", lr=0.1, momentum=0.5), [("w", weight)])
    assert optimizer is not None
    for expected in (1 - 0.1 * 2, 0.8 - 0.1 * 3, 0.5 - 0.1 * 3.5):
        weight.grad = torch.tensor([2.0])
        optimizer.step()
        assert weight.item() == pytest.approx(expected)
