"""Annealing of choices of bands over a run: temperatures, hardening, statistics downstream, resuming."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import OptimizerConfig, TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import (
    AnomalyBCEWithLogits,
    SelectorDiversityRegularizer,
    SelectorEntropyRegularizer,
)
from cuvis_ai.training.metrics import AnomalyDetectionMetrics
from tests.cubes import Batches, as_batches, random_cubes

CUBES = random_cubes(6)
MASK = torch.zeros(6, 6, 5, dtype=torch.bool)
MASK[:, 2, 2:4] = True


def data() -> Batches:
    batches = as_batches(CUBES, mask=MASK)
    return Batches(batches, batches[:1])


def graph_of(**options: Any) -> Graph:
    graph = Graph()
    arguments: dict[str, Any] = {
        "init_method": "explained",
        "temperature_init": 1.0,
        "temperature_decay": None,
    }
    selector = graph.add_node(SoftChannelSelector(3, **{**arguments, **options}), name="selector")
    pca = graph.add_node(TrainablePCA(2, trainable=True), parent=selector, name="pca")
    rx = graph.add_node(RXGlobal(), parent=pca, name="rx")
    head = graph.add_node(RXLogitHead(trainable=True), parent=rx, name="head")
    graph.add_leaf_node(SelectorEntropyRegularizer(), parent=selector)
    graph.add_leaf_node(SelectorDiversityRegularizer(1.0), parent=selector)
    graph.add_leaf_node(AnomalyBCEWithLogits(), parent=head)
    graph.add_leaf_node(AnomalyDetectionMetrics(), parent=head)
    return graph


def settings(epochs: int, *callbacks: Callback, lr: float = 0.3) -> TrainingConfig:
    return TrainingConfig(
        seed=1,
        trainer=TrainerConfig(
            max_epochs=epochs, accelerator="cpu", enable_progress_bar=False, callbacks=list(callbacks)
        ),
        optimizer=OptimizerConfig(lr=lr, weight_decay=0.1),
    )


class Watch(Callback):
    """Notes temperature and logits at the end of each epoch."""

    def __init__(self, graph: Graph) -> None:
        self.selector, self.seen = graph.nodes["selector"], []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.seen.append((float(self.selector.temperature), self.selector.logits.detach().clone()))


def test_the_temperature_falls_and_logits_stop_where_the_choice_turns_hard() -> None:
    graph = graph_of()
    watch = Watch(graph)
    graph.train(data(), settings(5, watch))
    temperatures = [temperature for temperature, _ in watch.seen]
    assert temperatures == pytest.approx([1.0, 0.1 ** (1 / 3), 0.1 ** (2 / 3), 0.1, 0.1])
    logits = [one for _, one in watch.seen]
    assert not torch.equal(logits[0], logits[1])
    assert torch.equal(logits[2], logits[3])  # neither Adam's moments nor weight decay move them
    assert torch.equal(logits[3], logits[4])
    assert graph.nodes["selector"].history[:, 0].tolist() == [-1, 0, 1, 2, 3, 4]


def test_the_final_graph_is_that_of_the_final_bands_up_to_trained_weights() -> None:
    graph = graph_of()
    graph.train(data(), settings(5))
    selector = graph.nodes["selector"]
    first = selector.history[0, 2:].long().tolist()
    bands = sorted(selector.get_selected_channels().tolist())
    assert sorted(first) != bands, "the data are such that the choice changes"
    sliced = Graph()
    pca = sliced.add_node(TrainablePCA(2), name="pca")
    sliced.add_node(RXGlobal(), parent=pca, name="rx")
    only = TrainingConfig(trainer=TrainerConfig(max_epochs=0, accelerator="cpu", enable_progress_bar=False))
    sliced.train(Batches(as_batches(CUBES[:, bands])), only)
    for name in ("mean", "explained_variance", "total_variance"):
        torch.testing.assert_close(getattr(graph.nodes["pca"], name), getattr(sliced.nodes["pca"], name))


def test_frozen_scores_downstream_follow_the_choice() -> None:
    """Over its own training pixels RX averages c (n − 1) / n, whatever the bands are."""
    graph = Graph()
    selector = graph.add_node(
        SoftChannelSelector(3, init_method="explained", temperature_init=1.0, temperature_decay=None),
        name="selector",
    )
    rx = graph.add_node(RXGlobal(), parent=selector, name="rx")
    graph.add_leaf_node(SelectorDiversityRegularizer(1.0), parent=selector)
    graph.train(data(), settings(5))
    assert selector.changed() is False
    assert sorted(selector.history[0, 2:].tolist()) != sorted(selector.get_selected_channels().tolist())
    n = CUBES.numel() // 7
    with torch.no_grad():
        scores = graph.run(CUBES, [rx])["rx"]
    assert float(scores.mean()) == pytest.approx(3 * (n - 1) / n, rel=1e-4)


def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    whole, first, second = graph_of(), graph_of(), graph_of()
    whole.train(data(), settings(5))
    keep, again = (ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, every_n_epochs=1) for _ in "ab")
    first.train(data(), settings(5, keep))
    second.train(data(), settings(5, again), ckpt_path=tmp_path / "epoch=1.ckpt")
    expected = whole.state_dict()
    found = second.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_best_checkpoints_and_losses_count_from_the_hard_choice_on(tmp_path: Path) -> None:
    best = ModelCheckpoint(dirpath=tmp_path, filename="{epoch}", monitor="val_loss", mode="min", save_top_k=3)
    graph_of().train(data(), settings(5, best))
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["epoch=3.ckpt", "epoch=4.ckpt"]


def test_a_temperature_that_is_not_reached_is_said_before_any_data_are_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    graph = graph_of(temperature_init=5.0, temperature_decay=0.9)
    with caplog.at_level(logging.WARNING, logger="cuvis_ai"):
        graph.train(data(), settings(3))
    first = next(record.getMessage() for record in caplog.records)
    assert "ends at a temperature of 4.050" in first
    assert "temperature_decay=0.141 or None" in first  # (0.1 / 5) ** (1 / 2)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="cuvis_ai"):
        graph_of().train(data(), settings(5))
    assert "ends at a temperature" not in caplog.text
    assert "its frozen statistics are of the hard choice" in caplog.text
    assert "RXLogitHead `head`: its statistics stay those of the first choice" in caplog.text


@pytest.mark.parametrize("options", [{"trainable": False}, {"hard": False}])
def test_hard_throughout_and_soft_throughout(options: dict[str, bool]) -> None:
    graph = graph_of(**options)
    graph.train(data(), settings(5, lr=0.01))
    matrix = graph.nodes["selector"].affine().matrix()
    one_hot = bool(((matrix == 0) | (matrix == 1)).all())
    assert one_hot == ("trainable" in options)


def test_epochs_end_with_their_temperature_and_choice(caplog: pytest.LogCaptureFixture) -> None:
    graph = graph_of()
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        trainer = graph.train(data(), settings(5))
    assert float(trainer.callback_metrics["train/metric/selector_temperature"]) == pytest.approx(0.1)
    assert caplog.text.count("selected channels:") == 5
    assert "Final channels of SoftChannelSelector `selector` by weight:" in caplog.text
    assert "Best F1:" in caplog.text
