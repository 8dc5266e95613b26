"""The two phases on Lightning: what is trained, read, logged, and refused."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.leaf.bases import Loss, Read, View, pooled
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import OptimizerConfig, SchedulerConfig, TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.metrics import ComponentOrthogonalityMetric, ExplainedVarianceMetric
from cuvis_ai.training.monitors import DummyMonitor
from tests.cubes import Batches, as_batches, random_cubes


class Power(Loss):
    """Mean squared output: a loss that reads data."""

    def __init__(self, weight: float = 1.0, sign: float = 1.0) -> None:
        super().__init__(weight)
        self.sign = sign

    def reads(self) -> frozenset[Read]:
        return frozenset({Read.OUTPUT})

    def forward(self, view: View) -> torch.Tensor:
        return self.sign * pooled(view[Read.OUTPUT].square().sum(1, keepdim=True), view.valid)


def settings(max_epochs: int = 2, optimizer: dict[str, Any] | None = None, **trainer: Any) -> TrainingConfig:
    return TrainingConfig(
        seed=42,
        trainer=TrainerConfig(max_epochs=max_epochs, enable_progress_bar=False, **{"log_every_n_steps": 1, **trainer}),
        optimizer=OptimizerConfig(**(optimizer or {"lr": 1e-2})),
        scheduler=SchedulerConfig(),
    )  # fmt: skip


def pca_graph(*losses: Loss) -> tuple[Graph, TrainablePCA]:
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(3, trainable=True), parent=norm)
    for loss in losses or (OrthogonalityLoss(),):
        graph.add_leaf_node(loss, parent=pca)
    return graph, pca


def data(n: int = 8, **others: torch.Tensor) -> Batches:
    cubes = random_cubes(n)
    return Batches(
        as_batches(cubes, **others), as_batches(random_cubes(4, seed=1)), as_batches(random_cubes(2))
    )


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_weights_only_loss_reads_no_cube_and_runs_no_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, _ = pca_graph()
    datamodule = data()
    graph.train(datamodule, settings(0))
    for one in datamodule.sets.values():
        one.reads = 0

    def forbidden(*args: object) -> None:
        raise AssertionError("a forward was run")

    monkeypatch.setattr(TrainablePCA, "forward", forbidden)
    monkeypatch.setattr("cuvis_ai.functional.affine.Affine.__call__", forbidden)
    monkeypatch.setattr("cuvis_ai.execution.execution.Execution.evaluate", forbidden)
    trainer = graph.train(datamodule, settings(3))
    assert trainer.global_step == 3 * 4
    assert [one.reads for one in datamodule.sets.values()] == [0, 0, 0]


def test_metric_that_needs_validation_data_reads_those_alone() -> None:
    graph, pca = pca_graph()
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    datamodule = data()
    graph.train(datamodule, settings(0))
    assert datamodule.sets["train"].reads == 4
    graph.train(datamodule, settings(2, num_sanity_val_steps=0))
    assert datamodule.sets["train"].reads == 4
    # The first training validates once; the second before its first step and in each of its epochs.
    assert datamodule.sets["val"].reads == 2 + 2 + 2 * 2


def test_tutorials_run_leaves_the_weights_as_they_were() -> None:
    graph, pca = pca_graph()
    graph.train(data(), settings(0))
    before = pca.components.clone()
    graph.train(data(), settings(10, {"lr": 1e-3}))
    assert torch.equal(pca.components.detach(), before)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_components_pushed_off_the_manifold_come_back(name: str) -> None:
    graph, pca = pca_graph()
    graph.add_leaf_node(ComponentOrthogonalityMetric(), parent=pca)
    graph.train(data(), settings(0))
    pca.set_state(components=pca.components + 0.1 * torch.randn(3, 7))
    optimizer = {"name": name, "lr": 0.05, "momentum": 0.5} if name == "sgd" else {"name": name, "lr": 3e-3}
    trainer = graph.train(data(), settings(60, optimizer))
    assert trainer.callback_metrics["val/metric/component_orthogonality_error"] < 1e-3


def test_loss_on_data_is_minimized_and_total_is_the_weighted_sum(tmp_path: Path) -> None:
    graph, _ = pca_graph(Power(weight=0.5), OrthogonalityLoss(weight=2.0))
    graph.register_monitor(DummyMonitor(tmp_path))
    graph.train(data(), settings(5))
    by_epoch = {(r["name"], r["step"]): r["value"] for r in rows(tmp_path)}
    totals = [by_epoch["val/loss/total", epoch] for epoch in range(5)]
    assert totals[-1] < 0.99 * totals[0]
    for stage in ("train", "val"):
        for epoch in range(5):
            expected = (
                0.5 * by_epoch[f"{stage}/loss/power", epoch]
                + 2 * by_epoch[f"{stage}/loss/orthogonality", epoch]
            )
            assert by_epoch[f"{stage}/loss/total", epoch] == pytest.approx(expected, rel=1e-6)


def test_rows_of_epochs_and_steps(tmp_path: Path) -> None:
    graph, _ = pca_graph(Power())
    graph.register_monitor(DummyMonitor(tmp_path))
    graph.train(data(), settings(2, log_every_n_steps=2))
    of_steps = [r for r in rows(tmp_path) if r["name"] == "train/loss/total_step"]
    assert [(r["step"], r["epoch"], r["global_step"], r["stage"]) for r in of_steps] == [
        (2, 0, 2, "train"), (4, 0, 4, "train"), (6, 1, 6, "train"), (8, 1, 8, "train"),
    ]  # fmt: skip
    of_epochs = [r for r in rows(tmp_path) if r["name"] == "val/loss/total"]
    assert [(r["step"], r["epoch"], r["global_step"], r["stage"]) for r in of_epochs] == [
        (0, 0, 4, "val"), (1, 1, 8, "val"),
    ]  # fmt: skip
    assert {r["name"] for r in rows(tmp_path)} == {
        "train/loss/power", "train/loss/total", "train/loss/power_step", "train/loss/total_step",
        "train/metric/learning_rate", "val/loss/power", "val/loss/total", "start/loss/power", "start/loss/total",
    }  # fmt: skip


def test_file_of_an_earlier_run_is_moved_aside(tmp_path: Path) -> None:
    graph, _ = pca_graph()
    graph.register_monitor(DummyMonitor(tmp_path))
    graph.train(data(), settings(1))
    first = (tmp_path / "metrics.jsonl").read_text()
    graph.train(data(), settings(1))
    others = [p for p in tmp_path.glob("metrics*.jsonl") if p.name != "metrics.jsonl"]
    assert [p.read_text() for p in others] == [first]


def test_two_runs_with_one_seed_are_equal(tmp_path: Path) -> None:
    found = []
    for i in range(2):
        graph, pca = pca_graph(Power(), OrthogonalityLoss())
        graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
        graph.register_monitor(DummyMonitor(tmp_path / str(i)))
        graph.train(data(), settings(3))
        found.append((rows(tmp_path / str(i)), pca.components.detach()))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


def test_statistical_phase_alone_validates_once_and_returns_the_trainer() -> None:
    graph, pca = pca_graph()
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    trainer = graph.train(data(), settings(0))
    assert "val/metric/explained_variance_total" in trainer.callback_metrics
    assert not list(graph.parameters())


def test_training_without_anything_trainable_warns_and_fits(caplog: pytest.LogCaptureFixture) -> None:
    graph = Graph()
    graph.add_node(RXGlobal())
    with caplog.at_level(logging.WARNING):
        graph.train(data(), settings(3))
    assert "no node is trainable: only the statistical phase runs" in caplog.text
    assert graph(random_cubes()).output.isfinite().all()


def test_trainable_node_that_no_loss_reaches_is_frozen_and_named(caplog: pytest.LogCaptureFixture) -> None:
    graph, pca = pca_graph()
    other = graph.add_node(TrainablePCA(2, trainable=True), parent=pca, name="other")
    with caplog.at_level(logging.WARNING):
        graph.train(data(), settings(1))
    assert "TrainablePCA `other` is trainable, but no loss depends on it" in caplog.text
    assert not list(other.parameters())
    assert list(pca.parameters())


def test_second_leaf_of_a_name_gets_its_parents_name() -> None:
    graph, pca = pca_graph()
    second = graph.add_node(TrainablePCA(2, trainable=True), parent=pca, name="second")
    for parent in (pca, second):
        graph.add_leaf_node(ExplainedVarianceMetric(), parent=parent)
    graph.add_leaf_node(OrthogonalityLoss(), parent=second)
    names = set(graph.train(data(), settings(1)).callback_metrics)
    assert {"val/metric/explained_variance_pc1", "val/metric/second_explained_variance_pc1"} <= names
    assert {"val/loss/orthogonality", "val/loss/second_orthogonality"} <= names


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
@pytest.mark.filterwarnings("ignore:.*AMP with fp16 is not supported on CPU")
def test_mixed_precision_leaves_statistics_and_scores_alone(precision: str) -> None:
    results = []
    for p in ("32", precision):
        graph, pca = pca_graph(Power(), OrthogonalityLoss())
        graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
        trainer = graph.train(data(), settings(2, precision=p))
        results.append({name: float(value) for name, value in trainer.callback_metrics.items()})
    assert results[1] == pytest.approx(results[0], rel=1e-4, abs=1e-6)


def test_learning_rate_falls_when_the_loss_stalls(tmp_path: Path) -> None:
    graph, _ = pca_graph()  # the loss is 0 from the start: nothing improves
    graph.register_monitor(DummyMonitor(tmp_path))
    graph.train(data(), settings(14, {"lr": 1.0}))
    rates = [r["value"] for r in rows(tmp_path) if r["name"] == "train/metric/learning_rate"]
    assert rates == pytest.approx([1.0] * 12 + [0.1] * 2)  # after the first, 11 epochs without improvement


class Rates(Callback):
    """Notes the learning rate of each step."""

    def __init__(self) -> None:
        self.by_epoch: dict[int, set[float]] = {}

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        self.by_epoch.setdefault(trainer.current_epoch, set()).add(
            trainer.optimizers[0].param_groups[0]["lr"]
        )


@pytest.mark.parametrize("datamodule", [data(), Batches(as_batches(random_cubes(8)))], ids=["val", "no val"])
def test_the_learning_rate_logged_for_an_epoch_is_that_of_its_steps(
    datamodule: Batches, tmp_path: Path
) -> None:
    graph, _ = pca_graph()  # nothing improves: the rate falls after every epoch but the first
    graph.register_monitor(DummyMonitor(tmp_path))
    used, scheduler = Rates(), SchedulerConfig(patience=0, factor=0.5)
    graph.train(datamodule, replace(settings(4, {"lr": 1.0}, callbacks=[used]), scheduler=scheduler))
    found = {r["epoch"]: {r["value"]} for r in rows(tmp_path) if r["name"] == "train/metric/learning_rate"}
    assert found == used.by_epoch
    assert [rate for [rate] in found.values()] == [1.0, 1.0, 0.5, 0.25]


@pytest.mark.parametrize("max_epochs", [0, 2])
def test_double_precision_ends_with_a_graph_that_takes_the_same_batches(max_epochs: int) -> None:
    found = []
    for precision in ("32", "64"):
        graph, pca = pca_graph(Power())
        graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
        config = settings(max_epochs, precision=precision)
        graph.train(data(), config)
        values = graph.evaluate(data(), "test", config)
        assert graph.dtype == torch.float32
        assert all(value.dtype == torch.float32 for value in graph.state_dict().values())
        found.append((values, graph(random_cubes(2)).output))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-4)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-3, atol=1e-4)


def test_checkpoint_name_is_filled_in_and_early_stopping_stops(tmp_path: Path) -> None:
    graph, _ = pca_graph(Power(sign=1.0))
    checkpoint = ModelCheckpoint(
        dirpath=tmp_path, filename="best-{epoch:02d}-{val_loss:.2f}", monitor="val/loss/total"
    )
    stop = EarlyStopping(monitor="val/loss/total", patience=2, mode="max")
    trainer = graph.train(data(), settings(20, callbacks=[checkpoint, stop]))
    assert trainer.current_epoch == 3
    [saved] = tmp_path.glob("*.ckpt")
    loss = float(trainer.callback_metrics["val_loss"])
    assert saved.name == f"best-epoch=02-val_loss={loss:.2f}.ckpt"
    torch.load(saved, weights_only=True)


def test_gradients_are_clipped() -> None:
    graph, pca = pca_graph(Power(weight=1e6))
    seen: list[float] = []
    graph.train(data(), settings(0))
    before = pca.components.clone()
    graph.train(data(1), settings(1, {"name": "sgd", "lr": 1.0}, gradient_clip_val=1e-3))
    seen.append(float((pca.components.detach() - before).norm()))
    assert seen[0] == pytest.approx(1e-3, rel=1e-3)


def test_nothing_is_written_that_nobody_ordered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    graph, _ = pca_graph(Power())
    graph.train(data(), settings(2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "callback", [EarlyStopping(monitor="val/loss/total"), ModelCheckpoint(monitor="val_loss")]
)
def test_callback_that_waits_for_validation_without_any_is_refused_before_data_are_read(
    callback: Any,
) -> None:
    graph, _ = pca_graph()
    datamodule = Batches(as_batches(random_cubes(4)))
    with pytest.raises(ConfigError, match=r"expected a validation set.*train/loss/total"):
        graph.train(datamodule, settings(1, callbacks=[callback]))
    assert datamodule.sets["train"].reads == 0


def test_without_validation_the_training_loss_is_watched() -> None:
    graph, _ = pca_graph(Power())
    stop = EarlyStopping(monitor="train/loss/total", patience=0, mode="max", check_on_train_epoch_end=True)
    trainer = graph.train(Batches(as_batches(random_cubes(4))), settings(9, callbacks=[stop]))
    assert trainer.current_epoch == 2


def test_resumed_run_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    def graph_of(folder: str) -> tuple[Graph, TrainablePCA]:
        graph, pca = pca_graph(Power(), OrthogonalityLoss())
        graph.register_monitor(DummyMonitor(tmp_path / folder))
        return graph, pca

    whole, pca = graph_of("whole")
    whole.train(data(), settings(6))
    first, _ = graph_of("parts")
    keep = ModelCheckpoint(dirpath=tmp_path / "ckpt", save_last=True)
    first.train(data(), settings(3, callbacks=[keep]))
    second, resumed = graph_of("parts")
    datamodule = data()
    again = ModelCheckpoint(dirpath=tmp_path / "ckpt", save_last=True)
    second.train(datamodule, settings(6, callbacks=[again]), ckpt_path=tmp_path / "ckpt" / "last.ckpt")
    assert datamodule.sets["train"].reads == 3 * 4
    assert torch.equal(resumed.components.detach(), pca.components.detach())
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_console_shows_both_phases(caplog: pytest.LogCaptureFixture) -> None:
    graph, pca = pca_graph(Power())
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        graph.train(data(), settings(2))
    text = caplog.text
    for line in (
        "Starting training with config: TrainingConfig(seed=42", "Phase 1: Initializing statistical nodes...",
        "  Initialized MinMaxNormalizer `min_max_normalizer`", "  Explained variance: [", "Phase 1 complete in ",
        "Phase 2: Preparing trainable nodes...", "  Converting components of TrainablePCA `trainable_pca`",
        "  val/metric/explained_variance_total: ", "Training complete in ", "Best validation loss: ",
    ):  # fmt: skip
        assert line in text, line


BAD_DATA: list[tuple[str, list[Any], str]] = [
    ("empty", [], "expected at least one batch, got none"),
    ("no mapping", [torch.rand(1, 7, 4, 4)], 'expected a mapping with the key "cube", got Tensor'),
    ("no cube", [{"image": torch.rand(1, 7, 4, 4)}], r"got keys \['image'\]"),
    ("3-D", [{"cube": torch.rand(7, 4, 4)}], r"expected four axes \(b, c, h, w\), got 3.*Add the batch axis"),
    ("5-D", [{"cube": torch.rand(1, 1, 7, 4, 4)}], "expected four axes .* got 5"),
    ("float64", [{"cube": torch.rand(1, 7, 4, 4).double()}], r"expected dtype torch.float32, got torch.float64"),
    ("uint16", [{"cube": torch.ones(1, 7, 4, 4).to(torch.uint16)}], r"got torch.uint16.*Convert with"),
    ("other bands", [{"cube": torch.rand(1, 7, 4, 4)}, {"cube": torch.rand(1, 5, 4, 4)}], "expected 7 channels.*got 5"),
    ("all NaN", [{"cube": torch.full((1, 7, 4, 4), float("nan"))}], "`min_max_normalizer`: expected at least 1 valid"),
    ("one pixel", [{"cube": torch.rand(1, 7, 1, 1)}], "`trainable_pca`: expected at least 2 valid training pixels, got 1"),
    ("no valid", [{"cube": torch.rand(1, 7, 4, 4), "valid": torch.zeros(1, 4, 4, dtype=torch.bool)}], "expected at least"),
    ("two bands", [{"cube": torch.rand(1, 2, 4, 4)}], "n_components=3: expected at most 2"),
    ("no pixel", [{"cube": torch.rand(1, 7, 0, 4)}], "at least one pixel"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("batches", "message"), [row[1:] for row in BAD_DATA], ids=[row[0] for row in BAD_DATA]
)
def test_bad_data_is_named_and_leaves_nothing_half_done(
    batches: list[Any], message: str, tmp_path: Path
) -> None:
    graph, _ = pca_graph()
    before = repr(graph)
    with pytest.raises(GraphError, match=message):
        graph.train(Batches(batches), settings(1))
    assert repr(graph) == before
    graph.train(data(), settings(1))


def test_odd_but_usable_data_train() -> None:
    cubes = random_cubes(6, h=1, w=1)
    constant = random_cubes(4)
    constant[:, 3] = 2.0
    for train in (as_batches(cubes), as_batches(constant), as_batches(random_cubes(1, h=1, w=5))):
        graph, pca = pca_graph(Power(), OrthogonalityLoss())
        graph.train(Batches(train), settings(2))
        assert bool(pca.components.isfinite().all())


def test_batch_without_a_valid_pixel_gives_no_step_but_no_nan() -> None:
    graph, pca = pca_graph(Power())
    batches = as_batches(random_cubes(4))
    batches[1]["cube"] = torch.full((2, 7, 6, 5), float("nan"))
    trainer = graph.train(Batches(batches), settings(2, {"name": "sgd", "lr": 0.1}))
    assert trainer.global_step == 4
    assert bool(pca.components.isfinite().all())


@pytest.mark.parametrize(
    ("cube", "message"),
    [
        (torch.rand(7, 4, 4), "four axes"),
        (torch.rand(1, 1, 7, 4, 4), "four axes"),
        (torch.rand(1, 5, 4, 4), "`min_max_normalizer`: expected 7 channels .* got 5"),
        (torch.rand(1, 7, 4, 4).double(), "dtype"),
        (torch.ones(1, 7, 4, 4).to(torch.uint16), "dtype"),
        ([[1.0]], "expected a torch tensor"),
    ],
)
def test_bad_cubes_at_inference_are_named(cube: Any, message: str) -> None:
    graph, _ = pca_graph()
    graph.train(data(), settings(0))
    with pytest.raises(GraphError, match=message):
        graph(cube)


class Keeping:
    """A monitor of a user's own, by the protocol alone."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda record: self.calls.append((name, record))

    setup: Any = property(lambda self: self.__getattr__("setup"))
    log_scalars: Any = property(lambda self: self.__getattr__("log_scalars"))
    log_figures: Any = property(lambda self: self.__getattr__("log_figures"))
    log_histograms: Any = property(lambda self: self.__getattr__("log_histograms"))
    log_text: Any = property(lambda self: self.__getattr__("log_text"))
    log_graph: Any = property(lambda self: self.__getattr__("log_graph"))
    close: Any = property(lambda self: self.__getattr__("close"))


def test_monitors_are_told_of_graph_data_weights_and_gradients_in_order() -> None:
    graph, _ = pca_graph(Power())
    monitor = Keeping()
    graph.register_monitor(monitor)
    graph.train(data(), settings(2))
    names = [name for name, _ in monitor.calls]
    assert names[:3] == ["setup", "log_graph", "log_text"]
    assert names[-1] == "close"
    assert not monitor.calls[-1][1].failed
    histograms = [{one.name for one in record} for name, record in monitor.calls if name == "log_histograms"]
    component = "trainable_pca.components"
    assert histograms == [{f"train/weight/{component}", f"train/gradient/{component}"}] * 2
