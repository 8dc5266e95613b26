"""Going on from a checkpoint: the same weights and rows from wherever it was written, and which one is taken."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.errors import ConfigError
from cuvis_ai.leaf.bases import View
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.monitors import DummyMonitor
from tests.cubes import Batches, as_batches, random_cubes
from tests.training.engine.test_ranks import write_cubes
from tests.training.engine.test_trainer import Power, data, pca_graph, rows, settings

# Not every run here brings the callback that wrote the checkpoint.
pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")


class Noisy(Power):
    """A loss that draws random numbers."""

    def forward(self, view: View) -> Tensor:
        return super().forward(view) * (1 + 0.1 * torch.rand(()) + 0.1 * float(np.random.random()))


class Shuffled(Batches):
    """A data module that knows nothing of ours: its order comes from torch's generator."""

    def train_dataloader(self) -> Any:
        return DataLoader(self.sets["train"], batch_size=None, shuffle=True)


def shuffled(folder: Path) -> LightningDataModule:
    return Shuffled(as_batches(random_cubes(6)), as_batches(random_cubes(4, seed=1)))


def without_validation(folder: Path) -> LightningDataModule:
    return Batches(as_batches(random_cubes(6)))


def files(folder: Path) -> LightningDataModule:
    if not folder.exists():
        write_cubes(folder, {"train": 6, "val": 2})
    return CubeFolder(folder, batch_size=2, seed=0)


def train(
    folder: Path,
    datamodule: LightningDataModule,
    *callbacks: Callback,
    ckpt_path: str | Path | None = None,
    loss: type[Power] = Power,
    max_epochs: int = 4,
    **trainer: Any,
) -> Graph:
    """Train a small graph whose values go to a folder."""
    graph, pca = pca_graph(loss(), OrthogonalityLoss())
    graph.add_node(RXGlobal(stats="follow"), parent=pca)
    graph.register_monitor(DummyMonitor(folder))
    config = settings(max_epochs, callbacks=list(callbacks), deterministic=True, **trainer)
    graph.train(datamodule, config, ckpt_path=ckpt_path)
    return graph


def same(first: Graph, second: Graph) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


Source = Callable[[Path], LightningDataModule]
KINDS: list[Any] = [
    pytest.param(files, {}, {}, id="epoch ends"),
    pytest.param(without_validation, {}, {}, id="no validation"),
    pytest.param(files, {"save_on_train_epoch_end": False}, {}, id="after the validation"),
    pytest.param(files, {}, {"check_val_every_n_epoch": 2}, id="every other validation"),
    pytest.param(files, {"every_n_train_steps": 2}, {}, id="within epochs"),
    pytest.param(shuffled, {}, {}, id="a shuffling loader of torch"),
    pytest.param(files, {}, {"loss": Noisy}, id="random numbers in a loss"),
    pytest.param(files, {}, {"accumulate_grad_batches": 2}, id="two batches a step"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("source", "checkpoint", "trainer"), KINDS)
def test_from_every_checkpoint_a_run_ends_as_the_uninterrupted_one(
    source: Source, checkpoint: dict[str, Any], trainer: dict[str, Any], tmp_path: Path
) -> None:
    """The rows of the whole run are there when the resumed one starts: those after its checkpoint are cut."""
    keep = ModelCheckpoint(tmp_path / "kept", save_top_k=-1, **checkpoint)
    whole = train(tmp_path / "rows", source(tmp_path / "cubes"), keep, **trainer)
    expected = rows(tmp_path / "rows")
    resumed = 0
    for path in sorted((tmp_path / "kept").glob("*.ckpt")):
        part = tmp_path / "rows" / "metrics.jsonl"
        part.write_text(part.read_text() + '{"name": "val/loss/tot')  # a kill cut the last row off
        try:
            got = train(tmp_path / "rows", source(tmp_path / "cubes"), ckpt_path=path, **trainer)
        except ConfigError as err:
            # The last step of an epoch, before its validation: Lightning would leave the rest of it out.
            assert "between the last step of an epoch and its end" in str(err)  # noqa: PT017
            assert checkpoint == {"every_n_train_steps": 2}
            assert int(path.stem.partition("step=")[2]) % 3 == 0
            part.write_text("".join(json.dumps(row) + "\n" for row in expected))
            continue
        resumed += 1
        assert same(got, whole)
        assert rows(tmp_path / "rows") == expected
    assert resumed >= 2


def test_histograms_and_texts_are_neither_missing_nor_doubled(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path / "kept", save_top_k=-1, filename="{epoch}")
    train(tmp_path / "rows", data(), keep)
    names = ("histograms.jsonl", "texts.jsonl")
    expected = [(tmp_path / "rows" / name).read_text() for name in names]
    train(tmp_path / "rows", data(), ckpt_path=tmp_path / "kept" / "epoch=1.ckpt")
    assert [(tmp_path / "rows" / name).read_text() for name in names] == expected


def test_the_statistical_phase_is_not_repeated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path / "rows", data(), ModelCheckpoint(tmp_path / "kept"), max_epochs=2)
    caplog.clear()
    datamodule = data()
    with caplog.at_level(logging.INFO, "cuvis_ai"):
        train(tmp_path / "rows", datamodule, ModelCheckpoint(tmp_path / "kept"), ckpt_path="last")
    assert datamodule.sets["train"].reads == 2 * 4
    assert "Phase 1" not in caplog.text
    assert "which holds 2 of 4 epochs" in caplog.text


def test_a_run_that_was_stopped_early_is_not_trained_further(tmp_path: Path) -> None:
    def callbacks() -> list[Callback]:
        # The loss falls, which is what this one stops at.
        return [
            EarlyStopping("val/loss/total", patience=1, mode="max"),
            ModelCheckpoint(tmp_path / "kept"),
        ]

    whole = train(tmp_path / "rows", data(), *callbacks(), max_epochs=9)
    expected = rows(tmp_path / "rows")
    assert max(row["epoch"] for row in expected) < 8
    again = train(tmp_path / "rows", data(), *callbacks(), max_epochs=9, ckpt_path="last")
    assert same(again, whole)
    assert rows(tmp_path / "rows") == expected


# Which checkpoint is taken.


def write_epochs(folder: Path, n: int = 3) -> list[Path]:
    """Return the checkpoints of a run's epochs, each a minute newer than the one before."""
    keep = ModelCheckpoint(folder, save_top_k=-1, filename="{epoch}")
    train(folder.parent / "rows", data(), keep, max_epochs=n)
    paths = [folder / f"epoch={epoch}.ckpt" for epoch in range(n)]
    for i, path in enumerate(paths):
        os.utime(path, (1e9 + 60 * i,) * 2)
    return paths


def taken(caplog: pytest.LogCaptureFixture) -> str:
    [line] = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Going on from")]
    return line


def test_last_is_the_newest_whole_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = write_epochs(tmp_path / "kept")
    content = paths[2].read_bytes()
    paths[2].write_bytes(content[: len(content) // 2])
    (tmp_path / "kept" / "epoch=3.ckpt.part").write_bytes(content[:100])
    torch.save({"state_dict": {}}, tmp_path / "kept" / "weights.ckpt")
    with caplog.at_level(logging.INFO, "cuvis_ai"):
        train(tmp_path / "rows", data(), ModelCheckpoint(tmp_path / "kept"), ckpt_path="last")
    assert "epoch=1.ckpt, which holds 2 of 4 epochs" in taken(caplog)
    assert "epoch=2.ckpt', which is damaged" in caplog.text
    assert "weights.ckpt', which holds weights alone" in caplog.text


def test_last_looks_below_the_root_folder_where_lightning_writes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for epochs in (2, 3):
        with caplog.at_level(logging.INFO, "cuvis_ai"):
            train(tmp_path / "rows", data(), ModelCheckpoint(), default_root_dir=str(tmp_path), ckpt_path="last", max_epochs=epochs)  # fmt: skip
    assert "which holds 2 of 3 epochs" in taken(caplog)


def test_last_without_a_checkpoint_yet_starts_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path / "rows", data(), max_epochs=1)
    train(tmp_path / "rows", data(), ModelCheckpoint(tmp_path / "kept"), ckpt_path="last", max_epochs=1)
    assert f"no checkpoint in {tmp_path / 'kept'} yet: training starts from the beginning" in caplog.text
    assert len(list((tmp_path / "rows").glob("metrics*.jsonl"))) == 2


def test_last_without_a_callback_that_keeps_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"ckpt_path='last': expected a ModelCheckpoint.*Add ModelCheckpoint"
    ):
        train(tmp_path / "rows", data(), ckpt_path="last")
    assert not (tmp_path / "rows").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "which does not exist"),
        (b"PK\x03\x04 half a file", "which is damaged"),
        (b"", "which is damaged"),
    ],
)
def test_a_checkpoint_that_is_none_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"a\.ckpt', {message}"):
        train(tmp_path / "rows", data(), ckpt_path=path)


def test_save_last_keeps_every_epoch_although_the_monitored_value_gets_worse(tmp_path: Path) -> None:
    """Lightning writes its own `last.ckpt` when the monitored value improves."""
    best = ModelCheckpoint(tmp_path / "kept", save_last=True, monitor="val/loss/total", mode="max")
    train(tmp_path / "rows", data(), best)
    held = torch.load(tmp_path / "kept" / "last_epoch.ckpt", weights_only=True)
    assert held["epoch"] == 3
    assert torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)["epoch"] < 3


# Ctrl-C.

INTERRUPTED = """
import sys, logging, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job, and its children, ignore Ctrl-C
sys.path.insert(0, sys.argv[1])
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
from pathlib import Path
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from tests.cubes import *
from tests.recorded_run import Kept
from tests.training.engine.test_trainer import Power, data, pca_graph, settings
from cuvis_ai.training.monitors import DummyMonitor
import time

class Wait(Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.current_epoch == 2 and batch_idx == 1:
            print("now", flush=True)
            time.sleep(60)

folder = Path(sys.argv[2])
graph, _ = pca_graph(Power())
kept = Kept()
graph.register_monitor(kept)
graph.register_monitor(DummyMonitor(folder / "rows"))
callbacks = [Wait(), *([ModelCheckpoint(folder / "kept", save_last=True)] if sys.argv[3] == "keep" else [])]
try:
    graph.train(data(), settings(5, callbacks=callbacks))
finally:
    [ending] = kept.of("close")
    print("closed, failed:", ending.failed, flush=True)
print("went on as if nothing had happened")
"""


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["keep", "none"])
def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(keep: str, repository: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, repository, tmp_path, keep],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None
    assert any(line == "now\n" for line in process.stdout)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert "closed, failed: True" in printed
    assert "Traceback" not in printed
    assert "went on" not in printed
    if keep == "none":
        assert "stopped in epoch 2 (3rd of 5); no checkpoint was kept. With ModelCheckpoint(" in printed
        return
    assert 'stopped in epoch 2 (3rd of 5). To go on after 2 finished epochs, pass ckpt_path="last"' in printed
    graph, _ = pca_graph(Power())
    graph.register_monitor(DummyMonitor(tmp_path / "rows"))
    graph.train(data(), settings(5, callbacks=[ModelCheckpoint(tmp_path / "kept")]), ckpt_path="last")
    whole, _ = pca_graph(Power())
    whole.register_monitor(DummyMonitor(tmp_path / "whole"))
    whole.train(data(), settings(5))
    assert same(graph, whole)
    assert rows(tmp_path / "rows") == rows(tmp_path / "whole")
