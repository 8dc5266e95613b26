"""Signals: SIGTERM ends a run with status 143 and the checkpoint of Ctrl-C; SLURM's requeue; the caller's handlers."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.monitors import DummyMonitor
from tests.cubes import Batches, CountedSet
from tests.recorded_run import Kept
from tests.training.engine.test_resume import files
from tests.training.engine.test_trainer import Power, data, pca_graph, rows, settings

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has other signals"),
    # Not every run here brings the callback that wrote the checkpoint.
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
]

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Send(Callback):
    """Sends this process a signal when a hook is called in an epoch, at that batch if the hook knows one."""

    def __init__(self, hook: str, number: int, epoch: int = 0, batch: int | None = None) -> None:
        def send(trainer: Trainer, module: LightningModule, *args: Any, **kwargs: Any) -> None:
            there = batch is None or batch == args[-1]
            if trainer.current_epoch == epoch and there and not trainer.sanity_checking:
                os.kill(os.getpid(), number)

        setattr(self, hook, send)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[dict[int, Any]]:
    """Handlers of a caller, which he finds again."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own = {number: signal.getsignal(number) for number in NUMBERS}
    try:
        yield own
        assert {number: signal.getsignal(number) for number in NUMBERS} == own
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 1)], ids=["SIGTERM", "Ctrl-C"]
)
@pytest.mark.parametrize(
    "hook", ["on_train_epoch_start", "on_train_batch_end", "on_validation_start", "on_before_optimizer_step"]
)
def test_a_signal_leaves_the_last_epochs_checkpoint(
    hook: str, number: int, status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Epochs are counted from 0: in epoch 2, two are finished."""
    graph, _ = pca_graph(Power())
    kept = Kept()
    graph.register_monitor(kept)
    callbacks = [Send(hook, number, epoch=2), ModelCheckpoint(tmp_path, filename="last_epoch")]
    with pytest.raises(SystemExit) as ended:
        graph.train(data(), settings(4, callbacks=callbacks))
    assert ended.value.code == status
    assert torch.load(tmp_path / "last_epoch.ckpt", weights_only=True)["epoch"] == 1
    assert (
        'stopped in epoch 2 (3rd of 4). To go on after 2 finished epochs, pass ckpt_path="last"'
        in caplog.text
    )
    assert kept.of("close")[0].failed


class SendingSet(CountedSet):
    def __getitem__(self, i: int) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(i)


class SendsWhenRead(Batches):
    """Sends this process SIGTERM when its first training batch is asked for: in the statistical phase."""

    def __init__(self) -> None:
        super().__init__([])
        self.sets["train"] = SendingSet(data().sets["train"].batches)


@pytest.mark.parametrize("max_epochs", [0, 2])
def test_sigterm_ends_the_statistical_phase_and_leaves_no_node_half_fitted(max_epochs: int) -> None:
    graph, pca = pca_graph(Power())
    with pytest.raises(SystemExit) as ended:
        graph.train(SendsWhenRead(), settings(max_epochs))
    assert ended.value.code == 143
    assert not pca.fitted


def test_sigterm_ends_the_validation_after_the_statistical_phase_and_an_evaluation() -> None:
    graph, _ = pca_graph(Power())
    with pytest.raises(SystemExit) as ended:
        graph.train(data(), settings(0, callbacks=[Send("on_validation_batch_end", signal.SIGTERM)]))
    assert ended.value.code == 143
    with pytest.raises(SystemExit) as ended:
        graph.evaluate(SendsWhenRead(), "train")
    assert ended.value.code == 143


def test_a_handler_of_the_caller_is_called_before_the_end(handlers: dict[int, Any]) -> None:
    told: list[int] = []
    handlers[signal.SIGTERM] = lambda number, frame: told.append(number)
    signal.signal(signal.SIGTERM, handlers[signal.SIGTERM])
    graph, _ = pca_graph(Power())
    with pytest.raises(SystemExit) as ended:
        graph.train(data(), settings(2, callbacks=[Send("on_train_epoch_start", signal.SIGTERM)]))
    assert (ended.value.code, told) == (143, [signal.SIGTERM])


def test_a_caller_who_ignores_sigterm_is_obeyed(handlers: dict[int, Any]) -> None:
    handlers[signal.SIGTERM] = signal.SIG_IGN
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    graph, _ = pca_graph(Power())
    trainer = graph.train(data(), settings(2, callbacks=[Send("on_train_epoch_start", signal.SIGTERM)]))
    assert trainer.current_epoch == 2


def test_a_run_in_another_thread_sets_no_handlers() -> None:
    graph, pca = pca_graph(Power())
    thread = threading.Thread(target=lambda: graph.train(data(), settings(1)))
    thread.start()
    thread.join()
    assert pca.fitted


# As a process of its own, whose exit status a shell, a cluster or make looks at.

SCRIPT = """
import sys
from tests.training.engine.test_signals import *
graph, _ = pca_graph(Power())
graph.train(data(), settings(3, callbacks=[Send("on_train_batch_start", signal.SIGTERM, epoch=1)]))
print("went on as if nothing had happened")
"""


def test_the_exit_status_of_a_program_is_143(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 143, done.stderr
    assert "went on" not in done.stdout
    assert "Traceback" not in done.stderr


# SLURM.


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a job, and a stand-in for `scontrol` that writes down what it is asked for."""
    asked = tmp_path / "scontrol.txt"
    program = tmp_path / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    job = {"JOB_ID": 4711, "JOB_NAME": "train", "NTASKS": 1, "NTASKS_PER_NODE": 1, "PROCID": 0, "LOCALID": 0, "NODEID": 0}  # fmt: skip
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    for name in ("MASTER_ADDR", "MASTER_PORT"):  # which Lightning sets
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return asked


Trained = Callable[..., tuple[Graph, TrainablePCA]]


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    def train(folder: str, *callbacks: Callback, **how: Any) -> tuple[Graph, TrainablePCA]:
        graph, pca = pca_graph(Power())
        graph.register_monitor(DummyMonitor(tmp_path / folder / "rows"))
        config = settings(4, callbacks=list(callbacks), default_root_dir=str(tmp_path / folder))
        graph.train(files(tmp_path / "cubes"), config, **how)
        return graph, pca

    return train


class Stop(Callback):
    """Stands for the end of a job's time."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 2:
            raise TimeoutError


@pytest.mark.parametrize("how", [{}, {"ckpt_path": "last"}], ids=["no path", "last"])
@pytest.mark.parametrize(
    ("hook", "batch"),
    [("on_train_batch_start", 1), ("on_train_batch_start", 2), ("on_before_optimizer_step", None)],
    ids=["within an epoch", "in its last step", "at every step"],
)
def test_a_requeued_job_goes_on_from_what_was_saved_for_it(
    hook: str, batch: int | None, how: dict[str, Any], slurm: Path, trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    """SIGUSR1 comes in the middle of a step; the run then ends bit for bit as one that was left alone."""
    ask = Send(hook, signal.SIGUSR1, epoch=1, batch=batch)
    kept = [ModelCheckpoint(tmp_path / "kept")] if how else []
    with pytest.raises(TimeoutError):
        trained("job", ask, *kept, Stop())
    assert set(slurm.read_text().splitlines()) == {"requeue 4711"}
    newest = sorted((tmp_path / "job").glob("hpc_ckpt_*.ckpt"))[-1]
    for one in (tmp_path / "kept").glob("*.ckpt"):
        os.utime(one, (1e9, 1e9))  # the requeue came later
    with caplog.at_level(logging.INFO):
        _, pca = trained("job", *([ModelCheckpoint(tmp_path / "kept")] if how else []), **how)
    assert f"Going on from {newest}" in caplog.text
    newest.rename(tmp_path / "elsewhere")
    for one in (tmp_path / "job").glob("hpc_ckpt_*.ckpt"):
        one.unlink()
    _, expected = trained("whole")
    assert torch.equal(pca.components, expected.components)
    assert rows(tmp_path / "job" / "rows") == rows(tmp_path / "whole" / "rows")


def test_a_job_that_will_be_requeued_outlives_sigterm(slurm: Path, trained: Trained, tmp_path: Path) -> None:
    """So it did with Lightning's handlers alone, until 2.6 ended it with status 0."""
    trained("job", Send("on_train_batch_start", signal.SIGTERM, epoch=1))
    assert {row["epoch"] for row in rows(tmp_path / "job" / "rows")} == {0, 1, 2, 3}


def test_what_was_saved_for_a_requeue_counts_under_slurm_alone_where_no_path_is_given(
    slurm: Path, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    trained("job", Send("on_train_batch_start", signal.SIGUSR1, epoch=1, batch=1))
    assert (tmp_path / "job" / "hpc_ckpt_1.ckpt").exists()
    monkeypatch.delenv("SLURM_NTASKS")
    with caplog.at_level(logging.INFO):
        trained("job")
    assert "Going on from" not in caplog.text
