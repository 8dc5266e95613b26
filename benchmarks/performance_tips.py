"""The performance tips of the documentation hold: when workers pay, how batches lie, what a pass costs.

Timed are the reading of an epoch by a data module, its workers' start included, from files in the page cache
(16 cubes of 192 × 192 × 100, as gzip-compressed HDF5 and as ENVI); epochs of training on the cubes of A, in
batches that lie channels-last, or contiguous as torch's own collate leaves them; and the statistical phase of
MinMax, PCA and RX beside that of a PCA alone.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import numpy as np
from gradient_step import ScoreEnergy
from harness import Comparison, main
from work import Clock, InMemory, batches_of, chain, fit, pixels_a, write_envi

from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig

CUBES, SIDE, BANDS = 16, 192, 100


@cache
def folder() -> Path:
    """Where the files of this run lie: written once, read by its fresh processes too."""
    if "BENCHMARK_FOLDER" not in os.environ:
        os.environ["BENCHMARK_FOLDER"] = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, os.environ["BENCHMARK_FOLDER"])
        made = Path(os.environ["BENCHMARK_FOLDER"])
        generator = np.random.default_rng(0)
        for kind in ("envi", "gzip"):
            (made / kind / "train").mkdir(parents=True)
        for i in range(CUBES):
            write_envi(made / "envi" / "train", f"cube_{i}", SIDE, SIDE, BANDS, seed=i)
            smooth = generator.normal(size=(SIDE, SIDE, BANDS)).cumsum(0).cumsum(1)
            with h5py.File(made / "gzip" / "train" / f"cube_{i}.h5", "w") as file:
                file.create_dataset(
                    "cube", data=smooth.astype("i2"), compression="gzip", chunks=(32, SIDE, BANDS)
                )
    return Path(os.environ["BENCHMARK_FOLDER"])


def reading(kind: str, workers: int) -> Callable[[], Callable[[], object]]:
    """Return what makes a reader of a folder's cubes."""

    def make() -> Callable[[], object]:
        cubes = CubeFolder(folder() / kind, batch_size=2, num_workers=workers)
        cubes.setup("fit")
        return lambda: sum(1 for _ in cubes.train_dataloader())

    return make


def epoch(*, contiguous: bool) -> Callable[[], Callable[[], object]]:
    """Return what makes an epoch of training."""

    def make() -> Callable[[], object]:
        batches = batches_of(pixels_a())
        if contiguous:
            batches = [{"cube": batch["cube"].contiguous()} for batch in batches]
        graph = fit(chain(trainable=True), batches)
        graph.add_leaf_node(ScoreEnergy(), parent="trainable_pca")

        def run() -> float:
            clock = Clock()
            settings = TrainerConfig(
                max_epochs=3, enable_progress_bar=False, accelerator="cpu", callbacks=[clock]
            )
            graph.train(InMemory(batches), TrainingConfig(trainer=settings))
            return clock.seconds["epochs"]

        return run

    return make


def phase(graph: Callable[[], Graph]) -> Callable[[], Callable[[], object]]:
    """Return what makes a statistical phase in memory."""

    def make() -> Callable[[], object]:
        batches = batches_of(pixels_a())
        return lambda: fit(graph(), batches)

    return make


def components_alone() -> Graph:
    """Return a graph of a PCA."""
    graph = Graph("components")
    graph.add_node(TrainablePCA(3))
    return graph


ALTERNATIVES = {
    "gzip, two workers": reading("gzip", 2),
    "gzip, no workers": reading("gzip", 0),
    "ENVI, two workers": reading("envi", 2),
    "ENVI, no workers": reading("envi", 0),
    "channels-last batches": epoch(contiguous=False),
    "contiguous batches": epoch(contiguous=True),
    "MinMax, PCA and RX": phase(chain),
    "PCA": phase(components_alone),
}

COMPARISONS = [
    Comparison(claim="gzip, two workers", ours="gzip, two workers", peer="gzip, no workers", at_most=1.0),
    Comparison(claim="ENVI, no workers", ours="ENVI, no workers", peer="ENVI, two workers", at_most=1.0),
    Comparison(
        claim="an epoch, channels-last", ours="channels-last batches", peer="contiguous batches", at_most=1.0
    ),
    Comparison(claim="statistics of three nodes", ours="MinMax, PCA and RX", peer="PCA", at_most=1.25),
]

if __name__ == "__main__":
    main(ALTERNATIVES, COMPARISONS)
