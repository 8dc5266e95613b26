"""The inputs of the benchmarks, as issue and README name them.

A: 20 cubes 200 × 200 × 61, float32, in memory. B: 4 cubes 512 × 512 × 200, uint16, as ENVI files.
"""

import atexit
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.loading.collate import collate_cubes
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)

COMPONENTS = 3
BATCH = 4


def pixels_a() -> Tensor:
    """Return the cubes of A as (20, 200, 200, 61)."""
    return _pixels(20, 200, 61)


def pixels_b() -> Tensor:
    """Return the cubes of B as (4, 512, 512, 200), as they come from uint16 files."""
    return _pixels(4, 512, 200).mul_(100).clamp_(0, 65535).round_()


def _pixels(cubes: int, side: int, bands: int) -> Tensor:
    """Return correlated channels with a decaying spectrum, above zero."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(bands, bands, generator=generator) / torch.arange(1, bands + 1)[:, None]
    return torch.randn(cubes, side, side, bands, generator=generator) @ mixing + 10


def batches_of(pixels: Tensor, size: int = BATCH) -> list[dict[str, Any]]:
    """Return batches in memory, channels-last."""
    return [{"cube": part.permute(0, 3, 1, 2)} for part in pixels.split(size)]


def loader_of(pixels: Tensor, size: int = BATCH, *, times: int = 1) -> DataLoader[Any]:
    """Return a loader of single cubes with the project's collate, each as many `times` as is said."""
    samples = [{"cube": cube} for cube in pixels] * times
    return DataLoader(samples, batch_size=size, collate_fn=collate_cubes)  # type: ignore[arg-type]


class InMemory(LightningDataModule):
    """Serves what it is given."""

    def __init__(self, train: Iterable[Any]) -> None:
        super().__init__()
        self.train = train

    def train_dataloader(self) -> Any:
        """All batches."""
        return self.train if isinstance(self.train, DataLoader) else DataLoader(self.train, batch_size=None)  # type: ignore[arg-type]


class Clock(Callback):
    """Times a fit and its epochs; not the first, in which Lightning loads and sets up what it does once.

    Attributes:
        seconds: of "statistics" and "epochs".
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = 0.0

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """The statistical phase begins."""
        self._start = time.perf_counter()

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """It ends."""
        self.seconds["statistics"] = time.perf_counter() - self._start

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """The second epoch begins."""
        if trainer.current_epoch == 1:
            self._start = time.perf_counter()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """The last one ends."""
        self.seconds["epochs"] = time.perf_counter() - self._start


def chain(*, trainable: bool = False) -> Graph:
    """Return MinMax -> PCA(3) -> RX."""
    graph = Graph("benchmark")
    norm = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(COMPONENTS, trainable=trainable), parent=norm)
    graph.add_node(RXGlobal(), parent=pca)
    return graph


def fit(graph: Graph, batches: Iterable[Any]) -> Graph:
    """Run the statistical phase as a user does."""
    quiet = TrainerConfig(max_epochs=0, enable_progress_bar=False, accelerator="cpu")
    graph.train(InMemory(batches), TrainingConfig(trainer=quiet))
    return graph


def write_envi(folder: Path, name: str, lines: int, samples: int, bands: int, *, seed: int = 0) -> Path:
    """Write a BIL scene of 12-bit values row by row, and return its header."""
    block = np.random.default_rng(seed).integers(1, 4096, bands * samples, dtype=np.uint16)
    with (folder / f"{name}.img").open("wb") as file:
        for line in range(lines):
            file.write(np.roll(block, line).tobytes())
    header = folder / f"{name}.hdr"
    header.write_text(
        f"ENVI\nsamples = {samples}\nlines = {lines}\nbands = {bands}\nheader offset = 0\n"
        f"data type = 12\ninterleave = bil\nbyte order = 0\n"
    )
    return header


@cache
def files_of_run(write: Callable[[Path], object]) -> Path:
    """Return the folder that holds what `write` wrote: once a run, read by its fresh processes too."""
    if "BENCHMARK_FOLDER" not in os.environ:
        os.environ["BENCHMARK_FOLDER"] = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, os.environ["BENCHMARK_FOLDER"])
        write(Path(os.environ["BENCHMARK_FOLDER"]))
    return Path(os.environ["BENCHMARK_FOLDER"])
