"""Faults from outside: what a run does when disks, folders, monitors, workers, files or clocks fail it."""

import errno
import gc
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader, Dataset

from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.errors import ConfigError, CubeFormatError
from cuvis_ai.training.metrics import ExplainedVarianceMetric
from cuvis_ai.training.monitors import DummyMonitor, Monitor, TensorBoardMonitor
from cuvis_ai.training.monitors.report import ReportMonitor
from cuvis_ai.training.monitors.report.record import read_record
from tests.cubes import Batches, as_batches, random_cubes
from tests.recorded_run import Kept
from tests.training.engine.test_ranks import write_cubes
from tests.training.engine.test_trainer import Power, data, pca_graph, rows, settings

# A disk that is full.


class NoRoomFrom(Callback):
    """Fills the disk from an epoch on: no file that is written as a whole reaches it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
        self.monkeypatch = monkeypatch
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            self.monkeypatch.setattr(
                "cuvis_ai.whole_file.os", SimpleNamespace(**{**vars(os), "fsync": self.full})
            )

    def full(self, descriptor: int) -> None:
        assert os.fstat(descriptor).st_size
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


NEEDS_DEV_FULL = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="fills a disk by Linux's /dev/full"
)


class FullFrom(Callback):
    """Fills the disk at the start of an epoch: what is written to a file goes to /dev/full."""

    def __init__(self, part: Path, epoch: int) -> None:
        self.part = part
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            self.part.symlink_to("/dev/full")


def test_a_full_disk_leaves_the_earlier_checkpoint_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept" / "last_epoch.ckpt"

    def keep() -> ModelCheckpoint:
        return ModelCheckpoint(path.parent, filename=path.stem, enable_version_counter=False)

    graph, _ = pca_graph(Power())
    graph.register_monitor(DummyMonitor(tmp_path / "rows"))
    full = NoRoomFrom(monkeypatch, epoch=2)
    with pytest.raises(OSError, match=r"the one before is whole: No space left on device.*last_epoch\.ckpt"):
        graph.train(data(), settings(4, callbacks=[full, keep()]))
    monkeypatch.undo()
    assert (
        'stopped in epoch 2 (3rd of 4). To go on after 2 finished epochs, pass ckpt_path="last"'
        in caplog.text
    )
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    again, pca = pca_graph(Power())
    again.register_monitor(DummyMonitor(tmp_path / "rows"))
    again.train(data(), settings(4, callbacks=[keep()]), ckpt_path="last")
    whole, expected = pca_graph(Power())
    whole.register_monitor(DummyMonitor(tmp_path / "whole"))
    whole.train(data(), settings(4))
    assert torch.equal(pca.components, expected.components)
    assert rows(tmp_path / "rows") == rows(tmp_path / "whole")


@NEEDS_DEV_FULL
def test_a_full_disk_under_a_monitor_ends_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    graph, _ = pca_graph(Power())
    kept, full = Kept(), DummyMonitor(tmp_path)
    graph.monitors = [full, kept]
    trainer = graph.train(data(), settings(2, callbacks=[FullFrom(tmp_path / "histograms.jsonl", epoch=0)]))
    assert trainer.current_epoch == 2
    [warning] = [r.getMessage() for r in caplog.records if "DummyMonitor" in r.getMessage()]
    assert "training goes on. OSError: [Errno 28] No space left on device" in warning
    assert len(kept.of("log_histograms")) == 2
    graph.monitors = [DummyMonitor(tmp_path)]
    graph.train(data(), settings(0))  # the one that failed holds the folder no longer
    assert list(tmp_path.glob("metrics.*Z.jsonl"))


# Folders that cannot be written to: as root, permissions stop nobody, so a file stands in the way.

MONITORS: list[tuple[Callable[[Path], Monitor], str]] = [
    (DummyMonitor, "DummyMonitor: output_dir"),
    (TensorBoardMonitor, "TensorBoardMonitor: log_dir"),
    (ReportMonitor, "ReportMonitor: output_dir"),
]


@pytest.mark.parametrize(("monitor", "named"), MONITORS)
def test_a_folder_that_cannot_be_written_to_is_said_before_data_are_read(
    monitor: Callable[[Path], Monitor], named: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    graph, _ = pca_graph(Power())
    kept = Kept()
    graph.register_monitor(kept)
    graph.register_monitor(monitor(tmp_path / "file" / "below"))
    datamodule = data()
    with pytest.raises(
        ConfigError, match=rf"{named}: expected a folder that can be written to.*Not a directory"
    ):
        graph.train(datamodule, settings(1))
    assert datamodule.sets["train"].reads == 0
    assert not [*kept.of("setup"), *kept.of("close")]


def test_a_checkpoint_folder_that_cannot_be_written_to_is_said_before_data_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    graph, _ = pca_graph(Power())
    datamodule = data()
    with pytest.raises(ConfigError, match="ModelCheckpoint: expected a folder that can be written to"):
        graph.train(datamodule, settings(1, callbacks=[ModelCheckpoint(tmp_path / "file" / "below")]))
    assert datamodule.sets["train"].reads == 0


# Monitors.


class AlwaysFails:
    """A monitor of which no call succeeds."""

    def __getattr__(self, name: str) -> Any:
        def fail(*args: object) -> None:
            raise OSError(f"{name}: the server is gone")

        return fail


def test_a_monitor_that_raises_at_every_call_costs_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def run(folder: Path, *others: Any) -> None:
        graph, pca = pca_graph(Power())
        graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
        graph.monitors = [*others, DummyMonitor(folder)]
        graph.train(data(), settings(2))

    run(tmp_path / "alone")
    run(tmp_path / "beside", AlwaysFails())
    [warning] = [r.getMessage() for r in caplog.records if "AlwaysFails" in r.getMessage()]
    assert warning.startswith(
        "AlwaysFails failed and records no more of this run; training goes on. OSError:"
    )
    assert rows(tmp_path / "beside") == rows(tmp_path / "alone")


class Vanish(Callback):
    """Removes files, and their folders, when the second epoch starts."""

    def __init__(self, *folders: Path) -> None:
        self.folders = folders

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for folder in self.folders if trainer.current_epoch == 1 else ():
            shutil.rmtree(folder)


def test_a_file_of_values_that_vanishes_is_reported_once_and_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = tmp_path / "rows", tmp_path / "report"
    graph, _ = pca_graph(Power())
    graph.monitors = [DummyMonitor(folders[0]), ReportMonitor(folders[1])]
    graph.train(data(), settings(4, callbacks=[Vanish(*folders)]))
    assert {row["epoch"] for row in rows(folders[0])} == {1, 2, 3}
    record = read_record(folders[1] / "report.jsonl")
    assert {value.scalar.epoch for value in record.values} == {1, 2, 3}
    assert record.ending is not None
    assert not record.ending.failed
    assert (folders[1] / "report.html").exists()
    said = [r.getMessage() for r in caplog.records if "vanished" in r.getMessage()]
    assert [line.partition(":")[0] for line in sorted(said)] == ["DummyMonitor", "ReportMonitor"]


# Data.


class KillsItsWorker(Dataset[dict[str, Any]]):
    """A data set during whose third epoch the system kills the process that reads it."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> dict[str, Any]:
        if i == 3 and self.flag.exists():
            os.kill(os.getpid(), 9)
        return {"cube": random_cubes(2, seed=i)}


class Workers(Batches):
    """Reads with a worker process."""

    def __init__(self, flag: Path) -> None:
        super().__init__([], as_batches(random_cubes(4, seed=9)))
        self.reader = KillsItsWorker(flag)

    def train_dataloader(self) -> Any:
        return DataLoader(self.reader, batch_size=None, num_workers=1)


class FlagAt(Callback):
    """Makes a file when an epoch starts."""

    def __init__(self, path: Path, epoch: int) -> None:
        self.path = path
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch - 1:
            self.path.touch()


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_with_an_error_and_a_way_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flag = tmp_path / "flag"
    graph, _ = pca_graph(Power())
    kept = Kept()
    graph.register_monitor(kept)
    # The second where it was killed while it handed a batch over.
    with pytest.raises(
        (RuntimeError, ConnectionResetError),
        match=r"DataLoader worker \(pid.*\) (is killed by signal|exited unexpectedly)|Connection reset",
    ) as raised:
        graph.train(
            Workers(flag), settings(4, callbacks=[FlagAt(flag, 2), ModelCheckpoint(tmp_path / "kept")])
        )
    way_back = 'stopped in epoch 2 (3rd of 4). To go on after 2 finished epochs, pass ckpt_path="last"'
    assert way_back in caplog.text, f"where the worker was lost: {raised.getrepr(style='short')}"
    assert kept.of("close")[0].failed
    del raised
    # To find the cause torch opens files, which the error's frames hold: they close here, not in a later test.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()
    flag.unlink()
    again, pca = pca_graph(Power())
    again.train(Workers(flag), settings(4, callbacks=[ModelCheckpoint(tmp_path / "kept")]), ckpt_path="last")
    whole, expected = pca_graph(Power())
    whole.train(Workers(flag), settings(4))
    assert torch.equal(pca.components, expected.components)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def test_a_corrupt_cube_is_named(tmp_path: Path) -> None:
    write_cubes(tmp_path, {"train": 5, "val": 2})
    damage(tmp_path / "train" / "train2.npy")
    graph, _ = pca_graph(Power())
    with pytest.raises(CubeFormatError, match=r'train2\.npy.*on_error="skip"'):
        graph.train(CubeFolder(tmp_path, batch_size=2, seed=0), settings(1))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_skipped_cube_changes_statistics_and_metrics_as_if_it_were_not_there(
    batch_size: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With one cube a batch, the damaged one makes a batch without any valid pixel."""

    def run(folder: Path, epochs: int) -> tuple[dict[str, float], Any]:
        graph, pca = pca_graph(Power())
        graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
        datamodule = CubeFolder(folder, batch_size=batch_size, seed=0, on_error="skip")
        trainer = graph.train(datamodule, settings(epochs))
        return {name: float(value) for name, value in trainer.callback_metrics.items()}, pca

    write_cubes(tmp_path / "damaged", {"train": 5, "val": 3})
    write_cubes(tmp_path / "without", {"train": 5, "val": 3})
    for split, name in (("train", "train2"), ("val", "val1")):
        damage(tmp_path / "damaged" / split / f"{name}.npy")
        (tmp_path / "without" / split / f"{name}.npy").unlink()
        (tmp_path / "without" / split / f"{name}_mask.npy").unlink()
    values, pca = run(tmp_path / "damaged", 0)
    expected, clean = run(tmp_path / "without", 0)
    assert values == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(pca.components, clean.components, rtol=1e-5, atol=1e-6)
    assert "CubeFolder: skipped 2 of 8 items: ['train/train2', 'val/val1']" in caplog.text
    values, pca = run(tmp_path / "damaged", 2)
    assert all(np.isfinite(value) for value in values.values())
    assert bool(torch.isfinite(pca.components).all())


# Two runs on one folder.

HOLDS = """
import sys
sys.path.insert(0, sys.argv[1])
from cuvis_ai.training.monitors import DummyMonitor, Run
monitor = DummyMonitor(sys.argv[2])
monitor.setup(Run(name="first", settings={}, structure=""))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_run_on_a_folder_is_refused_until_the_first_is_gone(
    repository: Path, tmp_path: Path
) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDS, repository, tmp_path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        (tmp_path / "metrics.jsonl").write_text("the first run's\n")
        graph, _ = pca_graph(Power())
        graph.register_monitor(DummyMonitor(tmp_path))
        datamodule = data()
        message = rf"output_dir: expected a folder that no other run writes to.*process {first.pid} holds"
        with pytest.raises(ConfigError, match=message):
            graph.train(datamodule, settings(1))
        assert datamodule.sets["train"].reads == 0
        assert (tmp_path / "metrics.jsonl").read_text() == "the first run's\n"
    finally:
        first.kill()
        first.communicate()
    graph.train(data(), settings(1))  # nothing is left of the lock after a kill
    [aside] = tmp_path.glob("metrics.*Z.jsonl")
    assert aside.read_text() == "the first run's\n"


# Clocks.


def test_a_clock_that_jumps_back_loses_and_mixes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a run, and between runs whose files then carry the same time, or an earlier one."""
    started = time.time()

    class JumpBack(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            monkeypatch.setattr("time.time", lambda: started - 3600 * (1 + trainer.current_epoch))

    contents = []
    for run in range(3):
        monkeypatch.setattr("time.time", lambda: started)
        graph, _ = pca_graph(Power(weight=1.0 + run))
        graph.register_monitor(DummyMonitor(tmp_path / "rows"))
        graph.register_monitor(ReportMonitor(tmp_path / "report"))
        graph.train(data(), settings(2, callbacks=[JumpBack(), ModelCheckpoint(tmp_path / "kept")]))
        for folder in ("rows", "report"):
            for path in (tmp_path / folder).glob("*.*"):
                if "Z" not in path.name:
                    os.utime(path, (1e9 - run, 1e9 - run) if run else (1e9, 1e9))
        os.utime(tmp_path / "rows" / "metrics.jsonl", (1e9, 1e9))
        contents.append((tmp_path / "rows" / "metrics.jsonl").read_text())
    found = [path.read_text() for path in (tmp_path / "rows").glob("metrics*.jsonl")]
    assert sorted(found) == sorted(contents)
    assert len(list((tmp_path / "report").glob("report*.jsonl"))) == 3
    assert ">-" not in (tmp_path / "report" / "report.html").read_text().split("Timings")[-1]


# Memory.


class Memory(Callback):
    """Notes this process's resident memory, in MB, every so many steps."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.global_step % self.every == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            self.seen.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from Linux's /proc")
def test_two_thousand_steps_hold_memory_flat(tmp_path: Path) -> None:
    """A batch is 1 MB: one kept per step would be 1,500 MB, one kept per epoch 30."""
    cubes = random_cubes(40, 16, 64, 64)
    graph, pca = pca_graph(Power())
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    graph.register_monitor(DummyMonitor(tmp_path))
    memory = Memory(every=100)
    batches = as_batches(cubes, 4)
    datamodule = Batches(batches * 5, batches[:2])
    graph.train(datamodule, settings(40, callbacks=[memory, ModelCheckpoint(tmp_path / "kept")]))
    assert len(memory.seen) == 20
    warm, end = memory.seen[4], memory.seen[-1]
    print(f"{warm:.1f} MB after 500 steps, {end:.1f} MB after 2,000")
    assert end - warm < 15
    assert len(json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])) == 6
