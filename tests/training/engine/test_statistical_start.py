"""The record of the statistical start: what a validation before the first step gives, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.metrics import ExplainedVarianceMetric
from cuvis_ai.training.monitors import DummyMonitor
from tests.cubes import Batches, as_batches, random_cubes
from tests.training.engine.test_trainer import Power, data, pca_graph, settings


def graph_of(folder: Path | None = None) -> Graph:
    graph, pca = pca_graph(Power(), OrthogonalityLoss())
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    if folder is not None:
        graph.register_monitor(DummyMonitor(folder))
    return graph


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def of_start(found: list[dict[str, Any]]) -> dict[str, float]:
    return {row["name"]: row["value"] for row in found if row["name"].startswith("start/")}


@pytest.mark.parametrize(
    "options", [{}, {"num_sanity_val_steps": 0}, {"check_val_every_n_epoch": 2}], ids=str
)
def test_it_is_what_a_run_of_statistics_alone_validates(options: dict[str, int], tmp_path: Path) -> None:
    trainer = graph_of(tmp_path).train(data(), settings(2, **options))
    statistics = graph_of().train(data(), settings(0)).callback_metrics
    expected = {
        name.replace("val/", "start/"): float(value)
        for name, value in statistics.items()
        if name.startswith("val/")
    }
    found = rows(tmp_path)
    assert of_start(found) == pytest.approx(expected, rel=1e-6)
    assert {(row["epoch"], row["global_step"], row["stage"]) for row in found[: len(expected)]} == {
        (0, 0, "start")
    }
    assert {name: float(trainer.callback_metrics[name]) for name in expected} == pytest.approx(
        expected, rel=1e-6
    )


def test_training_goes_as_without_it(tmp_path: Path) -> None:
    class Shuffled(Batches):
        def train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(self.sets["train"], batch_size=None, shuffle=True)

    sets = as_batches(random_cubes(8)), as_batches(random_cubes(4, seed=1))
    states, recorded = [], []
    for switch in (True, False):
        graph = graph_of(tmp_path / str(switch))
        graph.train(Shuffled(*sets), settings(3, validate_start=switch))
        states.append(graph.state_dict())
        recorded.append([row for row in rows(tmp_path / str(switch)) if row["stage"] != "start"])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert recorded[0] == recorded[1] == rows(tmp_path / "False")


def test_callbacks_do_not_see_it_as_a_validation(tmp_path: Path) -> None:
    epochs = []
    for switch in (True, False):
        keep = ModelCheckpoint(tmp_path / str(switch), monitor="val/loss/total", save_top_k=-1)
        stop = EarlyStopping(monitor="val/loss/total", patience=1, mode="max")
        trainer = graph_of().train(data(), settings(9, callbacks=[keep, stop], validate_start=switch))
        epochs.append(trainer.current_epoch)
        assert len(list((tmp_path / str(switch)).glob("*.ckpt"))) == trainer.current_epoch
    assert epochs[0] == epochs[1] < 9


def test_it_is_not_repeated_on_resume(tmp_path: Path) -> None:
    keep = lambda: ModelCheckpoint(tmp_path / "kept", save_last=True)  # noqa: E731
    graph_of(tmp_path / "parts").train(data(), settings(1, callbacks=[keep()]))
    trainer = graph_of(tmp_path / "parts").train(data(), settings(3, callbacks=[keep()]), ckpt_path="last")
    assert trainer.current_epoch == 3
    graph_of(tmp_path / "whole").train(data(), settings(3))
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    names = [row["name"] for row in rows(tmp_path / "parts") if row["stage"] == "start"]
    assert len(names) == len(set(names)) > 0


def test_without_validation_data_there_is_none(tmp_path: Path) -> None:
    graph_of(tmp_path).train(Batches(as_batches(random_cubes(4))), settings(1))
    assert of_start(rows(tmp_path)) == {}
