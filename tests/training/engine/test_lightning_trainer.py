"""What of Lightning's trainer the settings reach: limits, intervals, checkpoints, and whatever is `extra`."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from cuvis_ai.errors import ConfigError
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.engine.lightning_trainer import make_trainer
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.monitors import DummyMonitor
from tests.cubes import Batches, as_batches, random_cubes
from tests.training.engine.test_optimizers import Energy


class Steps(Callback):
    """Counts batches of training and validation."""

    def __init__(self) -> None:
        self.train: list[int] = []
        self.val = 0

    def on_train_epoch_start(self, *args: Any) -> None:
        self.train.append(0)

    def on_train_batch_end(self, *args: Any) -> None:
        self.train[-1] += 1

    def on_validation_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.val += not trainer.sanity_checking


def trained(folder: Path, **settings: Any) -> tuple[Trainer, Steps, list[dict[str, Any]]]:
    """Train on 4 batches, validate on 3; return the rows of the monitor, too."""
    steps, graph = Steps(), Graph()
    graph.add_leaf_node(Energy(), parent=graph.add_node(TrainablePCA(3, trainable=True)))
    graph.register_monitor(DummyMonitor(folder))
    given = {"max_epochs": 2, "enable_progress_bar": False, "validate_start": False, **settings}
    data = Batches(as_batches(random_cubes(8)), as_batches(random_cubes(6, seed=1)))
    config = TrainingConfig(trainer=TrainerConfig(**given, callbacks=[steps]))
    trainer = graph.train(data, config)
    return trainer, steps, [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


LIMITS: list[tuple[dict[str, Any], list[int], int]] = [
    ({}, [4, 4], 6),
    ({"limit_train_batches": 3}, [3, 3], 6),
    ({"limit_train_batches": 0.5}, [2, 2], 6),
    ({"limit_val_batches": 1}, [4, 4], 2),
    ({"limit_val_batches": 0}, [4, 4], 0),
    ({"fast_dev_run": True}, [1], 1),
    ({"fast_dev_run": 2}, [2], 2),
    ({"val_check_interval": 0.5}, [4, 4], 12),
    ({"val_check_interval": 1}, [4, 4], 24),
    ({"max_steps": 8}, [4, 4], 6),
    ({"max_time": "00:01:00:00"}, [4, 4], 6),
    ({"max_time": {"hours": 1}}, [4, 4], 6),
    ({"max_epochs": 0, "fast_dev_run": 2}, [], 2),
    ({"max_epochs": 0, "max_steps": 1, "limit_val_batches": 1}, [], 1),
    # The last steps have a validation of their own.
    ({"max_steps": 2}, [2], 3),
    ({"max_steps": 6}, [4, 2], 6),
    ({"val_check_interval": 3}, [4, 4], 9),
]


@pytest.mark.parametrize(("settings", "train", "val"), LIMITS, ids=[str(case[0]) for case in LIMITS])
def test_limits_and_intervals(settings: dict[str, Any], train: list[int], val: int, tmp_path: Path) -> None:
    _, steps, rows = trained(tmp_path, **settings)
    assert (steps.train, steps.val) == (train, val)
    if val and train:
        last = [row for row in rows if row["name"] == "val/loss/total"][-1]
        assert last["global_step"] == sum(train)


def test_max_time_ends_a_run(tmp_path: Path) -> None:
    _, steps, _ = trained(tmp_path, max_time={"seconds": 0}, max_epochs=50)
    assert sum(steps.train) < 200


def test_a_share_of_validation_is_a_share_of_what_is_read(tmp_path: Path) -> None:
    """Without a leaf that reads data, one number stands for the validation batches."""
    graph = Graph()
    graph.add_leaf_node(OrthogonalityLoss(), parent=graph.add_node(TrainablePCA(3, trainable=True)))
    config = TrainingConfig(
        trainer=TrainerConfig(max_epochs=1, enable_progress_bar=False, limit_val_batches=0.5)
    )
    done = graph.train(Batches(as_batches(random_cubes(8)), as_batches(random_cubes(4))), config)
    assert "val/loss/total" in done.callback_metrics


def test_a_share_that_is_no_batch_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="limit_val_batches"):
        trained(tmp_path, limit_val_batches=0.1)


def test_a_checkpoint_of_every_epoch_without_a_callback(tmp_path: Path) -> None:
    graph = Graph()
    graph.add_leaf_node(Energy(), parent=graph.add_node(TrainablePCA(3, trainable=True)))
    asked: dict[str, Any] = {
        "enable_progress_bar": False, "enable_checkpointing": True, "default_root_dir": str(tmp_path)
    }  # fmt: skip
    data = Batches(as_batches(random_cubes(4)))
    graph.train(data, TrainingConfig(trainer=TrainerConfig(max_epochs=1, **asked)))
    assert len(list((tmp_path / "checkpoints").glob("*.ckpt"))) == 1
    graph.reset()
    done = graph.train(data, TrainingConfig(trainer=TrainerConfig(max_epochs=3, **asked)), ckpt_path="last")
    assert done.global_step == 6


def test_extra_reaches_lightning() -> None:
    extra = {"gradient_clip_algorithm": "value", "min_epochs": 2, "limit_test_batches": 3}
    trainer = make_trainer(TrainerConfig(extra=extra, enable_progress_bar=False), max_epochs=5)
    found = (trainer.gradient_clip_algorithm, trainer.fit_loop.min_epochs, trainer.limit_test_batches)
    assert found == ("value", 2, 3)


def test_benchmark_reaches_lightning() -> None:
    before = torch.backends.cudnn.benchmark
    try:
        make_trainer(TrainerConfig(benchmark=not before, enable_progress_bar=False), max_epochs=1)
        assert torch.backends.cudnn.benchmark is not before
    finally:
        torch.backends.cudnn.benchmark = before


def test_what_lightning_refuses_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="TrainerConfig: expected settings that Lightning takes"):
        make_trainer(TrainerConfig(extra={"profiler": "no such"}), max_epochs=1)


def test_monitor_plugins_are_registered(tmp_path: Path) -> None:
    graph, monitor = Graph(), DummyMonitor(tmp_path)
    graph.add_leaf_node(Energy(), parent=graph.add_node(TrainablePCA(3)))
    config = TrainingConfig(
        trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False), monitor_plugins=[monitor]
    )
    graph.train(Batches(as_batches(random_cubes(4)), as_batches(random_cubes(2))), config)
    assert list(graph.monitors) == [monitor]
    assert monitor.path.is_file()


def test_what_is_no_callback_is_refused_by_its_type() -> None:
    with pytest.raises(ConfigError, match="callbacks: expected Lightning callbacks, got int"):
        make_trainer(TrainerConfig(callbacks=[3]), max_epochs=1)  # type: ignore[list-item]
