"""A run that goes on is the one of its checkpoint, or says what differs."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import ConfigError
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import OptimizerConfig, SchedulerConfig, TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.metrics import ScoreStatisticsMetric
from tests.cubes import Batches, as_batches, random_cubes
from tests.training.engine.test_trainer import Power

pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`", "ignore:The dirpath")


def graph_of(
    loss: float = 1.0, leaves: bool = True, reversed_losses: bool = False, k: int = 3, **rx: Any
) -> Graph:
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer(), name="norm")
    pca = graph.add_node(TrainablePCA(k, trainable=True), parent=norm, name="pca")
    graph.add_node(RXGlobal(**{"stats": "follow", **rx}), parent=pca, name="rx")
    losses = [OrthogonalityLoss(weight=0.5), Power(loss)] if leaves else [OrthogonalityLoss(weight=0.5)]
    for one in reversed(losses) if reversed_losses else losses:
        graph.add_leaf_node(one, parent=pca)
    return graph


class Banded(Batches):
    """Cubes of known bands."""

    def __init__(self, shift: float = 0.0, indices: list[int] | None = None, batch: int = 2) -> None:
        super().__init__(as_batches(random_cubes(8), batch), as_batches(random_cubes(4, seed=1)))
        self.wavelengths = [400.0 + 10 * i + shift for i in range(7)]
        self.band_indices = indices or [*range(7)]


def config(
    epochs: int = 3, *callbacks: Callback, optimizer: Any = None, scheduler: Any = None, **trainer: Any
) -> TrainingConfig:
    return TrainingConfig(
        trainer=TrainerConfig(
            max_epochs=epochs, enable_progress_bar=False, callbacks=[*callbacks], **trainer
        ),
        optimizer=OptimizerConfig(**{"lr": 1e-2, **(optimizer or {})}),
        scheduler=SchedulerConfig(**(scheduler or {})),
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the second of three epochs."""
    folder = tmp_path_factory.mktemp("run")
    keep = ModelCheckpoint(folder, filename="{epoch}", save_top_k=-1)
    graph_of().train(Banded(), config(3, keep))
    return folder / "epoch=1.ckpt"


# Refused.

LINES: list[tuple[str, Callable[[], Graph], str]] = [
    ("an argument", lambda: graph_of(k=2), r"node `pca`: n_components: 3 in the checkpoint, 2 now"),
    ("the mode of statistics", lambda: graph_of(stats="frozen"), r'stats: "follow" in the checkpoint, "frozen" now'),
    ("a ridge", lambda: graph_of(eps=0.5), r"node `rx`: eps: 0\.0 in the checkpoint, 0\.5 now"),
    ("a loss's weight", lambda: graph_of(loss=2.0), r"loss `power`: weight: 1\.0 in the checkpoint, 2\.0 now"),
    ("a loss less", lambda: graph_of(leaves=False), r"loss `power`: class: \S+:Power in the checkpoint, none now"),
    ("losses in another order", lambda: graph_of(reversed_losses=True), r"losses: orthogonality_loss, power in the checkpoint, power, ortho"),
]  # fmt: skip


def another_class() -> Graph:
    graph = graph_of()
    graph.remove_node("rx")
    graph.add_node(MinMaxNormalizer(), parent="pca", name="rx")
    return graph


def another_parent() -> Graph:
    graph = graph_of()
    graph.set_parent("rx", "norm")
    return graph


def one_more() -> Graph:
    graph = graph_of()
    graph.add_node(TrainablePCA(2), parent="norm", name="more")
    return graph


LINES += [
    (
        "another class",
        another_class,
        r"node `rx`: class: \S+:RXGlobal in the checkpoint, \S+:MinMaxNormalizer now",
    ),
    ("another parent", another_parent, r"node `rx`: parents: pca in the checkpoint, norm now"),
    ("a node more", one_more, r"node `more`: class: none in the checkpoint, \S+:TrainablePCA now"),
]


@pytest.mark.parametrize(("make", "message"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
def test_another_graph_is_refused_with_both_values(
    make: Callable[[], Graph], message: str, checkpoint: Path
) -> None:
    graph, datamodule = make(), Banded()
    with pytest.raises(ConfigError, match=message):
        graph.train(datamodule, config(), ckpt_path=checkpoint)
    assert datamodule.sets["train"].reads == 0
    assert not any(node.fitted for node in graph._members.in_order().values())


@pytest.mark.parametrize(
    ("datamodule", "message"),
    [
        (Banded(shift=5.0), r"expected the 7 bands of training, \[400\.0, .*; got 7, \[405\.0"),
        (
            Banded(indices=[0, 1, 2, 3, 4, 5, 8]),
            r"bands \(0, 1, 2, 3, 4, 5, 6\), got \(0, 1, 2, 3, 4, 5, 8\)",
        ),
    ],
    ids=["wavelengths", "positions in the files"],
)
def test_other_bands_are_refused_with_both(datamodule: Banded, message: str, checkpoint: Path) -> None:
    graph = graph_of()
    with pytest.raises(ConfigError, match=message):
        graph.train(datamodule, config(), ckpt_path=checkpoint)
    assert datamodule.sets["train"].reads == 0
    assert not any(node.fitted for node in graph._members.in_order().values())


@pytest.mark.parametrize("epochs", [0, 1])
def test_fewer_epochs_than_the_checkpoints_are_refused(epochs: int, checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=rf"max_epochs: expected at least the 2 epochs .* got {epochs}"):
        graph_of().train(Banded(), config(epochs), ckpt_path=checkpoint)


def test_other_precision_is_refused_and_64_goes_on_bit_for_bit(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected torch\.float64, got torch\.float32 in the checkpoint"):
        graph_of().train(Banded(), config(precision="64"), ckpt_path=checkpoint)
    whole = graph_of()
    whole.train(
        Banded(), config(3, ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1), precision="64")
    )
    again = graph_of()
    again.train(Banded(), config(precision="64"), ckpt_path=tmp_path / "epoch=1.ckpt")
    assert same(whole, again)


def same(first: Graph, second: Graph) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# Free, and said.


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """What the log says of a run that goes on."""
    with caplog.at_level(logging.INFO, "cuvis_ai"):
        yield lambda: "\n".join(r.getMessage() for r in caplog.records if "checkpoint" in r.getMessage())


def test_the_same_run_goes_on_without_a_word(checkpoint: Path, said: Callable[[], str]) -> None:
    whole, again = graph_of(), graph_of()
    whole.train(Banded(), config())
    keep = ModelCheckpoint(checkpoint.parent, filename="{epoch}", save_top_k=-1)
    again.train(Banded(), config(3, keep), ckpt_path=checkpoint)
    assert "now" not in said()
    assert same(whole, again)


FREE: list[tuple[str, Callable[[Path], Any], str]] = [
    ("epochs", lambda path: graph_of().train(Banded(), config(4), ckpt_path=path), "trainer.max_epochs: 3 in the checkpoint, 4 now"),
    ("callbacks", lambda path: graph_of().train(Banded(), config(3), ckpt_path=path), "trainer.callbacks: ['ModelCheckpoint'] in the checkpoint, [] now"),
    ("paths", lambda path: graph_of().train(Banded(), config(3, default_root_dir="x"), ckpt_path=path), "trainer.default_root_dir: None in the checkpoint, 'x' now"),
    ("batch size", lambda path: graph_of().train(Banded(batch=4), config(), ckpt_path=path), "batches: 4 in the checkpoint, 2 now"),
]  # fmt: skip


@pytest.mark.parametrize(("go_on", "line"), [row[1:] for row in FREE], ids=[row[0] for row in FREE])
def test_what_is_free_is_said(
    go_on: Callable[[Path], Any], line: str, checkpoint: Path, said: Callable[[], str]
) -> None:
    go_on(checkpoint)
    assert "The run will not be bit-equal to one left alone: " in said()
    assert line in said()
    assert "other settings" not in said()


def test_a_metric_more_is_free(checkpoint: Path) -> None:
    graph = graph_of()
    graph.add_leaf_node(ScoreStatisticsMetric(), parent="rx")
    graph.train(Banded(), config(), ckpt_path=checkpoint)


def test_settings_of_the_training_count_as_they_are_now(checkpoint: Path, said: Callable[[], str]) -> None:
    """With one warning that shows both."""
    optimizer = {"lr": 3e-3, "betas": (0.5, 0.9), "weight_decay": 0.01}
    trainer = graph_of().train(
        Banded(), config(optimizer=optimizer, gradient_clip_val=0.5), ckpt_path=checkpoint
    )
    [group] = trainer.optimizers[0].param_groups
    assert {name: group[name] for name in optimizer} == optimizer
    assert trainer.gradient_clip_val == 0.5
    [warning] = [line for line in said().splitlines() if "other settings" in line]
    for line in (
        "optimizer.lr: 0.01 in the checkpoint, 0.003 now",
        "optimizer.betas: (0.9, 0.999) in the checkpoint, (0.5, 0.9) now",
        "optimizer.weight_decay: 0.0 in the checkpoint, 0.01 now",
        "trainer.gradient_clip_val: None in the checkpoint, 0.5 now",
    ):
        assert line in warning
    # The moments are those of the checkpoint: three steps of 4 batches each.
    assert {int(state["step"]) for state in trainer.optimizers[0].state.values()} == {12}


def test_another_optimizer_starts_without_a_state(checkpoint: Path, said: Callable[[], str]) -> None:
    trainer = graph_of().train(Banded(), config(optimizer={"name": "adamw"}), ckpt_path=checkpoint)
    assert {int(state["step"]) for state in trainer.optimizers[0].state.values()} == {4}
    assert "and its optimizer starts without a state" in said()
    assert "optimizer.name: 'adam' in the checkpoint, 'adamw' now" in said()


def test_a_momentum_that_was_not_there_starts_at_0(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, filename="{epoch}")
    graph_of().train(Banded(), config(2, keep, optimizer={"name": "sgd"}))
    momentum = {"name": "sgd", "momentum": 0.9}
    trainer = graph_of().train(Banded(), config(optimizer=momentum), ckpt_path=tmp_path / "epoch=1.ckpt")
    assert trainer.optimizers[0].param_groups[0]["momentum"] == 0.9


def test_a_rate_that_the_scheduler_has_reduced_stays_reduced(tmp_path: Path) -> None:
    """Its own settings are those of now."""
    stalls = {"patience": 0, "factor": 0.5}
    options = {"optimizer": {"lr": 1e-6}, "scheduler": stalls}
    keep = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    whole = graph_of().train(Banded(), config(4, keep, **options))
    reduced = torch.load(tmp_path / "epoch=2.ckpt", weights_only=True)["optimizer_states"][0]["param_groups"][
        0
    ]["lr"]
    assert reduced < 1e-6
    again = graph_of().train(Banded(), config(4, **options), ckpt_path=tmp_path / "epoch=2.ckpt")
    rates = [one.optimizers[0].param_groups[0]["lr"] for one in (whole, again)]
    assert rates[0] == rates[1]
    asked = {"optimizer": {"lr": 0.1}, "scheduler": {"patience": 50}}
    other = graph_of().train(Banded(), config(4, **asked), ckpt_path=tmp_path / "epoch=2.ckpt")
    assert other.optimizers[0].param_groups[0]["lr"] == 0.1


def test_a_checkpoint_of_an_earlier_version_goes_on(
    checkpoint: Path, tmp_path: Path, said: Callable[[], str]
) -> None:
    held = torch.load(checkpoint, weights_only=True)
    del held["cuvis_ai"]["run"]
    torch.save(held, tmp_path / "earlier.ckpt")
    whole, again = graph_of(), graph_of()
    whole.train(Banded(), config())
    again.train(Banded(), config(), ckpt_path=tmp_path / "earlier.ckpt")
    assert same(whole, again)
    assert "earlier.ckpt does not say of which run it is" in said()
    with pytest.raises(ConfigError, match="of a graph with other nodes: missing: nodes.more.components"):
        one_more().train(Banded(), config(), ckpt_path=tmp_path / "earlier.ckpt")


def test_an_argument_that_an_earlier_version_had_not_counts_as_its_default(
    checkpoint: Path, tmp_path: Path
) -> None:
    held = torch.load(checkpoint, weights_only=True)
    del held["cuvis_ai"]["run"]["graph"]["node `rx`: eps"]
    torch.save(held, tmp_path / "earlier.ckpt")
    graph_of().train(Banded(), config(), ckpt_path=tmp_path / "earlier.ckpt")
    with pytest.raises(ConfigError, match=r"eps: 0\.0 in the checkpoint, 0\.5 now"):
        graph_of(eps=0.5).train(Banded(), config(), ckpt_path=tmp_path / "earlier.ckpt")


def test_workers_are_free_and_said(tmp_path: Path, said: Callable[[], str]) -> None:
    class Loaded(Banded):
        workers = 0

        def train_dataloader(self) -> Any:
            items = [{"cube": cube} for cube in random_cubes(4)]
            return DataLoader(items, batch_size=2, num_workers=self.workers)  # type: ignore[arg-type]

    graph_of().train(Loaded(), config(2, ModelCheckpoint(tmp_path, filename="{epoch}")))
    other = Loaded()
    other.workers = 1
    graph_of().train(other, config(3), ckpt_path=tmp_path / "epoch=1.ckpt")
    assert "num_workers: 0 in the checkpoint, 1 now" in said()
