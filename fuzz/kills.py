"""A run that is killed again and again, and started again with "last", ends bit for bit as one left alone.

Run with `python -m fuzz.kills`, or with `--kills 200`. Each run is a process of its own, which a SIGKILL,
SIGTERM or SIGINT meets at an event: a file of the run that is opened, renamed or removed, or a hook of
Lightning. Signal and event are drawn from the seed, so no clock decides. Reported are the kills by signal;
the program ends with 1 if weights or `metrics.jsonl` of a run differ from those of a run left alone, or if
one that is unfinished ends with status 0.
"""

import argparse
import logging
import os
import random
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import OptimizerConfig, SchedulerConfig, TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import AnomalyBCEWithLogits, OrthogonalityLoss
from cuvis_ai.training.metrics import AnomalyDetectionMetrics, ExplainedVarianceMetric
from cuvis_ai.training.monitors import DummyMonitor

EPOCHS = 6
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
STATUS = {signal.SIGKILL: {-signal.SIGKILL}, signal.SIGTERM: {143, -signal.SIGTERM}, signal.SIGINT: {1, 130}}
"""How a run ends: at its last epoch, or by the signal where nothing of it was under way."""
_HOOKS = (
    "train_epoch_start", "train_batch_start", "before_optimizer_step", "train_batch_end", "train_epoch_end",
    "validation_start", "validation_batch_end", "validation_end", "fit_end",
)  # fmt: skip
_FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir"}


class Events(Callback):
    """Counts events, and sends this process a signal at one of them.

    Args:
        out: whose files count.
        number: the signal.
        at: the event, counted from 0; none if there are fewer.
    """

    def __init__(self, out: Path, number: int, at: int | None) -> None:
        self.out = str(out)
        self.number = number
        self.at = at
        self.count = 0
        for hook in _HOOKS:
            setattr(self, f"on_{hook}", self.happened)

    def watch_files(self) -> None:
        """Let files of the run count from now on."""
        sys.addaudithook(self._file)

    def _file(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _FILE_EVENTS and str(arguments[0]).startswith(self.out):
            self.happened()

    def happened(self, *args: Any, **kwargs: Any) -> None:
        """Count an event."""
        self.count += 1
        if self.count - 1 == self.at:
            os.kill(os.getpid(), self.number)


def write_cubes(folder: Path) -> None:
    """Write six cubes to train with and two to validate with."""
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(7, 7))
    for split, n in (("train", 6), ("val", 2)):
        (folder / split).mkdir(parents=True)
        for i in range(n):
            mask = generator.random((6, 5)) < 0.2
            mask[0, 0] = True
            cube = generator.normal(size=(6, 5, 7)) @ mixing + 10 + mask[..., None]
            np.save(folder / split / f"{split}{i}.npy", cube.astype(np.float32))
            np.save(folder / split / f"{split}{i}_mask.npy", mask)


def train(cubes: Path, out: Path, events: Events) -> None:
    """Train, going on from the last checkpoint, and write the weights in the end."""
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(3, trainable=True), parent=norm)
    rx = graph.add_node(RXGlobal(stats="follow"), parent=pca)
    head = graph.add_node(RXLogitHead(), parent=rx)
    graph.add_leaf_node(AnomalyBCEWithLogits(pos_weight="balanced"), parent=head)
    graph.add_leaf_node(OrthogonalityLoss(), parent=pca)
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    graph.add_leaf_node(AnomalyDetectionMetrics(), parent=head)
    graph.register_monitor(DummyMonitor(out))  # type: ignore[abstract]  # its methods that do nothing
    keep = ModelCheckpoint(out / "checkpoints", save_last=True, monitor="val/loss/total")
    config = TrainingConfig(
        trainer=TrainerConfig(
            max_epochs=EPOCHS, accelerator="cpu", deterministic=True, log_every_n_steps=1,
            enable_progress_bar=False, callbacks=[keep, events],
        ),
        optimizer=OptimizerConfig(lr=0.05),
        scheduler=SchedulerConfig(patience=0, factor=0.5),
    )  # fmt: skip
    events.watch_files()
    graph.train(CubeFolder(cubes, batch_size=2, seed=0), config, ckpt_path="last")
    torch.save(graph.state_dict(), out / "weights.pt")
    (out / "events").write_text(str(events.count))


def in_child(log: Path, run: Callable[[], None]) -> int:
    """Run a function in a process of its own; return its status, negative for a signal that killed it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 0
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    with log.open("w") as file, redirect_stdout(file), redirect_stderr(file):
        logging.basicConfig(level=logging.INFO, stream=file, force=True)
        try:
            run()
        except SystemExit as err:
            status = err.code if isinstance(err.code, int) else 1
        except KeyboardInterrupt:
            status = 130
        except BaseException:
            traceback.print_exc()
            status = 70
    os._exit(status)


def same(first: Path, second: Path) -> bool:
    """Whether two runs left the same weights and values, bit for bit."""
    one, two = (torch.load(out / "weights.pt", weights_only=True) for out in (first, second))
    rows = [(out / "metrics.jsonl").read_bytes() for out in (first, second)]
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one) and rows[0] == rows[1]


def main(arguments: list[str] | None = None) -> int:
    """Kill as often as asked for; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    drawn, kills, resumed, runs = random.Random(asked.seed), Counter[str](), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_cubes(home / "cubes")
        log, whole, out = home / "log", home / "whole", home / "run0"
        status = in_child(log, lambda: train(home / "cubes", whole, Events(whole, 0, None)))
        assert status == 0, log.read_text()
        n_events = int((whole / "events").read_text())
        while True:
            # One after the other, until there are enough: then the run goes on to its end.
            number = SIGNALS[kills.total() % len(SIGNALS)] if kills.total() < asked.kills else None
            at = drawn.randrange(n_events // 2) if number is not None else None
            events = Events(out, number or 0, at)
            status = in_child(log, lambda out=out, events=events: train(home / "cubes", out, events))  # type: ignore[misc]
            printed = log.read_text()
            resumed += "Going on from" in printed
            if number is not None and status in STATUS[number] and not (out / "events").exists():
                kills[number.name] += 1
                continue
            if status or not (out / "events").exists():
                print(f"status {status} after {number} at event {at} of {out.name}:\n{printed[-3000:]}")
                return 1
            runs += 1
            if not same(whole, out):
                print(f"{out.name}: weights or rows differ from those of the run that was left alone")
                return 1
            if number is None:
                break
            out = home / f"run{runs}"
    counted = ", ".join(f"{name} {n}" for name, n in kills.items())
    print(f"{kills.total()} kills ({counted}), at moments out of {n_events} of a run")
    print(f"{resumed} starts went on from a checkpoint")
    print(f"{runs} whole runs of {EPOCHS} epochs, all bit-equal to the one left alone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
