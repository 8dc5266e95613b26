"""The statistical phase MinMax -> PCA(3) -> RX is one pass, not far from a bare scatter product."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from harness import Comparison, main
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA, IncrementalPCA
from sklearn.preprocessing import MinMaxScaler
from torch import Tensor
from torch.utils.data import DataLoader
from work import BATCH, COMPONENTS, batches_of, chain, fit, loader_of, pixels_a

from cuvis_ai.execution.execution import Execution
from cuvis_ai.training.engine.statistics import fit_statistics

BLOCK = 4096


def phase(batches: object) -> Callable[[], object]:
    """The statistical phase alone."""

    def run() -> None:
        graph = chain()
        execution = Execution(graph.topology, graph.nodes)
        fit_statistics(execution, [], lambda context: batches, torch.device("cpu"), show_progress=False)

    return run


def from_memory() -> Callable[[], object]:
    """The phase from batches in memory."""
    return phase(batches_of(pixels_a()))


def from_loader() -> Callable[[], object]:
    """The phase through a DataLoader with the project's collate."""
    return phase(loader_of(pixels_a()))


def plain_loader(cubes: Iterable[Tensor]) -> DataLoader[Any]:
    """A loader of cubes (c, h, w) with torch's own collate, whose batches are contiguous (b, c, h, w)."""
    return DataLoader([{"cube": cube} for cube in cubes], batch_size=BATCH)  # type: ignore[arg-type]


def contiguous() -> DataLoader[Any]:
    """Cubes that lie channel by channel in memory, the usual form in PyTorch."""
    return plain_loader(cube.permute(2, 0, 1).contiguous() for cube in pixels_a())


def permuted() -> DataLoader[Any]:
    """Views of cubes that lie pixel by pixel; torch's collate turns them round."""
    return plain_loader(cube.permute(2, 0, 1) for cube in pixels_a())


def iterated_with_scatter(loader: DataLoader[Any]) -> Callable[[], object]:
    """Iterating a plain loader, and the float64 scatter x xᵀ by blocks of each cube x (c, n)."""

    def run() -> object:
        total = np.zeros((61, 61))
        for batch in loader:
            for x in batch["cube"].flatten(2).numpy():
                for start in range(0, x.shape[1], BLOCK):
                    y = x[:, start : start + BLOCK].astype(np.float64)
                    total += y @ y.T
        return total

    return run


def whole_train() -> Callable[[], object]:
    """`graph.train` with no epochs."""
    batches = batches_of(pixels_a())
    return lambda: fit(chain(), batches)


def scatter() -> Callable[[], object]:
    """NumPy's float64 scatter by blocks that stay in the cache."""
    pixels = pixels_a().reshape(-1, 61).numpy()

    def run() -> object:
        total = np.zeros((61, 61))
        for start in range(0, len(pixels), BLOCK):
            y = pixels[start : start + BLOCK].astype(np.float64)
            total += y.T @ y
        return total

    return run


def incremental_pca() -> Callable[[], object]:
    """scikit-learn's streaming PCA alone, a cube a batch."""
    pixels = pixels_a().reshape(-1, 61).numpy()
    return lambda: IncrementalPCA(COMPONENTS, batch_size=40_000).fit(pixels)


def sklearn_chain() -> Callable[[], object]:
    """The same three steps in scikit-learn, all in memory."""
    pixels = pixels_a().reshape(-1, 61).numpy()

    def run() -> object:
        scaled = MinMaxScaler().fit_transform(pixels)
        scores = PCA(COMPONENTS, svd_solver="covariance_eigh").fit_transform(scaled)
        return EmpiricalCovariance().fit(scores)

    return run


ALTERNATIVES = {
    "from memory": from_memory,
    "through a DataLoader": from_loader,
    "plain loader, contiguous": lambda: phase(contiguous()),
    "plain loader, permuted": lambda: phase(permuted()),
    "iterating contiguous + scatter": lambda: iterated_with_scatter(contiguous()),
    "iterating permuted + scatter": lambda: iterated_with_scatter(permuted()),
    "graph.train": whole_train,
    "NumPy scatter by blocks": scatter,
    "scikit-learn IncrementalPCA": incremental_pca,
    "scikit-learn in memory": sklearn_chain,
}

COMPARISONS = [
    Comparison(
        claim="statistics, batches in memory",
        ours="from memory",
        peer="NumPy scatter by blocks",
        at_most=1.7,
        added_mb=100,
    ),
    Comparison(
        claim="statistics, through a DataLoader",
        ours="through a DataLoader",
        peer="NumPy scatter by blocks",
        at_most=2.3,
        added_mb=100,
    ),
    Comparison(
        claim="statistics, plain loader of contiguous cubes",
        ours="plain loader, contiguous",
        peer="iterating contiguous + scatter",
        at_most=1.6,
    ),
    Comparison(
        claim="statistics, plain loader of permuted views",
        ours="plain loader, permuted",
        peer="iterating permuted + scatter",
        at_most=1.6,
    ),
    Comparison(
        claim="graph.train with no epochs", ours="graph.train", peer="NumPy scatter by blocks", at_most=2.3
    ),
    Comparison(
        claim="statistics, batches in memory",
        ours="from memory",
        peer="scikit-learn IncrementalPCA",
        at_most=1 / 8,
    ),
    Comparison(
        claim="statistics, batches in memory", ours="from memory", peer="scikit-learn in memory", at_most=1.0
    ),
]

if __name__ == "__main__":
    main(ALTERNATIVES, COMPARISONS)
