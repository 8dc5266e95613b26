"""Logging costs at most 3 % of training time, with three monitors at once.

Run with `python benchmarks/logging_costs_at_most_three_percent.py`. Trains MinMax, PCA and a decoder on
20 cubes of 200 × 200 × 61 in memory, without monitors and with DummyMonitor, TensorBoardMonitor and
WandBMonitor (offline), scalars every 10 steps, histograms of weights and gradients each epoch. Timed are
the epochs, from the first one's start to the last one's end; starting and ending trackers is not, and
printed beside it. Runs alternate, and the least time of each kind counts, since other work on the
machine only ever adds. Asserted is the time that the training thread spends in the recorder; the
processor time of all threads, which counts those of TensorBoard and wandb, is printed.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from lightning.pytorch import Callback, LightningDataModule
from torch.utils.data import DataLoader

from cuvis_ai.node.decoder import PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import MSEReconstructionLoss, OrthogonalityLoss
from cuvis_ai.training.metrics import ComponentOrthogonalityMetric, ExplainedVarianceMetric
from cuvis_ai.training.monitors import DummyMonitor, Recorder, TensorBoardMonitor, WandBMonitor

LIMIT = 0.03
"""Share of the training time."""

N_CUBES, SIDE, BANDS, BATCH = 20, 200, 61, 2


class Cubes(LightningDataModule):
    """Random cubes in memory."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        mixing = torch.randn(BANDS, BANDS, generator=generator)
        pixels = torch.randn(N_CUBES, SIDE, SIDE, BANDS, generator=generator) @ mixing
        self.batches = [{"cube": cube.permute(0, 3, 1, 2)} for cube in pixels.split(BATCH)]

    def train_dataloader(self) -> Any:
        """All cubes."""
        return DataLoader(self.batches, batch_size=None)  # type: ignore[arg-type]

    def val_dataloader(self) -> Any:
        """A fifth of them."""
        return DataLoader(self.batches[: len(self.batches) // 5], batch_size=None)  # type: ignore[arg-type]


class Clock(Callback):
    """Times the epochs."""

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start."""
        self.start, self.processor_start = time.perf_counter(), time.process_time()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self.start
        self.processor = time.process_time() - self.processor_start


@dataclass
class Timing:
    """Seconds of one run: of its epochs, on processors, in the recorder, to start and end trackers."""

    epochs: float
    processor: float
    recorder: float
    trackers: float


def timed(method: Callable[..., None], spent: dict[str, float], kind: str) -> Callable[..., None]:
    """Return the method with its time added up."""

    def call(*args: Any, **kwargs: Any) -> None:
        start = time.perf_counter()
        method(*args, **kwargs)
        spent[kind] += time.perf_counter() - start

    return call


def run(cubes: Cubes, folder: Path | None, epochs: int) -> Timing:
    """Train once, with monitors that write to `folder` if there is one."""
    graph = Graph("benchmark")
    normalizer = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(3, trainable=True), parent=normalizer)
    decoder = graph.add_node(PCADecoder(tied_to="trainable_pca"), parent=pca)
    graph.add_leaf_node(OrthogonalityLoss(), parent=pca)
    graph.add_leaf_node(MSEReconstructionLoss(), parent=decoder)
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    graph.add_leaf_node(ComponentOrthogonalityMetric(), parent=pca)
    if folder is not None:
        graph.register_monitor(DummyMonitor(folder / "dummy"))
        graph.register_monitor(TensorBoardMonitor(folder / "tensorboard"))
        graph.register_monitor(WandBMonitor("benchmark", mode="offline"))
    clock, spent = Clock(), {"recorder": 0.0, "trackers": 0.0}
    config = TrainerConfig(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[clock],
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
    )
    with ExitStack() as stack:
        for name in ("setup", "close", "graph", "text", "scalars", "histograms", "figures"):
            kind = "recorder" if name in ("scalars", "histograms", "figures") else "trackers"
            replacement = timed(getattr(Recorder, name), spent, kind)
            stack.enter_context(mock.patch.object(Recorder, name, replacement))
        graph.train(cubes, TrainingConfig(trainer=config))
    return Timing(clock.seconds, clock.processor, spent["recorder"], spent["trackers"])


def _least(timings: list[Timing]) -> Timing:
    """Return the least of each."""
    names = (field.name for field in fields(Timing))
    return Timing(**{name: min(getattr(timing, name) for timing in timings) for name in names})


def main() -> None:
    """Alternate, report, and fail above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=10, help="epochs a run")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    cubes = Cubes()
    without, with_all = [], []
    with tempfile.TemporaryDirectory() as name:
        os.environ.update(WANDB_DIR=name, WANDB_SILENT="true")
        run(cubes, Path(name) / "warm", 1)
        for i in range(args.repeats):
            without.append(run(cubes, None, args.epochs))
            with_all.append(run(cubes, Path(name) / str(i), args.epochs))
    plain, logged = _least(without), _least(with_all)
    share = logged.recorder / plain.epochs
    print(
        f"{args.epochs} epochs, least of {args.repeats} runs: {plain.epochs:.2f} s without monitors and "
        f"{logged.epochs:.2f} s with all three; {plain.processor:.2f} and {logged.processor:.2f} s on "
        f"processors; {logged.recorder:.3f} s in the recorder, {share:.2%} of the time without; starting "
        f"and ending trackers took {logged.trackers:.1f} s more"
    )
    assert share <= LIMIT, f"expected at most {LIMIT:.0%} of the training time, got {share:.1%}"


if __name__ == "__main__":
    main()
