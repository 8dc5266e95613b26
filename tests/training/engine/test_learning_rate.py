"""Learning rates by epoch, against torch's schedulers and by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LRScheduler, StepLR

from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import OptimizerConfig, SchedulerConfig, TrainerConfig, TrainingConfig
from cuvis_ai.training.engine.learning_rate import rate_of_epoch
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.monitors import DummyMonitor
from tests.cubes import Batches, as_batches, random_cubes

EPOCHS = 7

OF_TORCH: list[tuple[dict[str, Any], Any]] = [
    ({"name": "cosine", "min_lr": 0.02}, lambda o: CosineAnnealingLR(o, EPOCHS, eta_min=0.02)),
    ({"name": "step", "step_size": 2, "factor": 0.5}, lambda o: StepLR(o, 2, gamma=0.5)),
    ({"name": "exponential", "step_size": 1, "factor": 0.8}, lambda o: ExponentialLR(o, 0.8)),
]


def rates(settings: SchedulerConfig, epochs: int = EPOCHS, lr: float = 0.3) -> list[float]:
    return [rate_of_epoch(settings, lr, epoch, epochs) for epoch in range(epochs)]


@pytest.mark.parametrize(("settings", "make"), OF_TORCH, ids=[case["name"] for case, _ in OF_TORCH])
def test_rates_are_those_of_torch(settings: dict[str, Any], make: Any) -> None:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler: LRScheduler = make(optimizer)
    expected = []
    for _ in range(EPOCHS):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates(SchedulerConfig(**settings)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["cosine", "step", "exponential", "plateau"])
def test_warm_up_rises_in_equal_steps_to_what_follows_without_it(name: Any) -> None:
    warm = rates(SchedulerConfig(name=name, warmup_epochs=3, step_size=2), EPOCHS + 3)
    assert warm[:3] == pytest.approx([0.075, 0.15, 0.225], rel=1e-12)
    assert warm[3:] == pytest.approx(rates(SchedulerConfig(name=name, step_size=2)), rel=1e-12)


def test_exponential_is_step_at_its_steps_and_neither_falls_below_the_minimum() -> None:
    step, smooth = (
        rates(SchedulerConfig(name=name, step_size=3, min_lr=0.004), 10) for name in ("step", "exponential")
    )
    assert step == pytest.approx([0.3] * 3 + [0.03] * 3 + [0.004] * 4, rel=1e-12)
    assert smooth[::3] == pytest.approx(step[::3], rel=1e-12)
    assert smooth[1] == pytest.approx(0.3 * 0.1 ** (1 / 3), rel=1e-12)


def logged_rates(folder: Path, scheduler: SchedulerConfig, epochs: int, **others: Any) -> list[float]:
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3, trainable=True))
    graph.add_leaf_node(OrthogonalityLoss(), parent=pca)  # 0 from the start: nothing improves
    graph.register_monitor(DummyMonitor(folder))
    keep = ModelCheckpoint(dirpath=folder / "kept", filename="{epoch}", save_top_k=-1)
    config = TrainingConfig(
        trainer=TrainerConfig(max_epochs=epochs, enable_progress_bar=False, callbacks=[keep]),
        optimizer=OptimizerConfig(lr=1.0), scheduler=scheduler,
    )  # fmt: skip
    graph.train(Batches(as_batches(random_cubes(4)), as_batches(random_cubes(2))), config, **others)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["value"] for row in rows if row["name"] == "train/metric/learning_rate"]


def test_a_run_trains_with_these_rates_also_when_it_goes_on(tmp_path: Path) -> None:
    scheduler = SchedulerConfig(name="cosine", warmup_epochs=2)
    whole = logged_rates(tmp_path, scheduler, 5)
    assert whole == pytest.approx(rates(scheduler, 5, lr=1.0), rel=1e-12)
    again = logged_rates(tmp_path, scheduler, 5, ckpt_path=tmp_path / "kept" / "epoch=2.ckpt")
    assert again == whole  # the file's rows after the checkpoint are written again


def test_a_plateau_is_looked_for_after_the_warm_up(tmp_path: Path) -> None:
    found = logged_rates(tmp_path, SchedulerConfig(factor=0.5, patience=0, warmup_epochs=2), 5)
    # The first loss after the warm-up is the best so far; the second is no better.
    assert found == pytest.approx([1 / 3, 2 / 3, 1, 1, 0.5], rel=1e-12)
