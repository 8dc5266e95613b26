"""Checks printed figures on a folder of labelled scenes against definitions in float64 NumPy.

    python -m benchmarks.figures FOLDER

Three tables, a row a scene; scenes and masks are found as by `benchmarks.detectors`.

1. Equal spectra: MinMax -> PCA(10) -> RX, whole and in tiles, on one and on two threads, with another metric
   attached. How many pixels have an equal one, how many get a score that an equal one does not get, and the
   average precision beside that of the definition.
2. AUPRO: that of the scene whole and of its tiles, in random order, beside the definition.
3. A dark level: RX of the scene as whole numbers, and of the same numbers plus 50,000; relative errors.

A last line names what does not hold, with exit status 1: equal scores of equal spectra, average precision
within 1e-6 for any tiles, AUPRO within 1e-6 of that of the same scores whole, errors of 1e-5 in the median
and 1e-4 at most. (AP may differ from that in float64 where float32 cannot tell two scores apart.)
"""

import argparse
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score
from torch.utils.data import DataLoader

from benchmarks.detectors import Half, as_cube, scenes
from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.tiles import tile_windows
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.metrics import AnomalyDetectionMetrics, ExplainedVarianceMetric

Array = NDArray[Any]
TILES = ((64, 64), (10, 10))
COMPONENTS, LIMIT, DARK = 10, 0.3, 50_000
STATISTICS = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False, accelerator="cpu"))
WITHIN = 1e-6


class Tiles(LightningDataModule):
    """Serves a scene whole to statistics, and in tiles, in random order, to a validation."""

    def __init__(self, scene: Half, tile: tuple[int, int] | None) -> None:
        super().__init__()
        self.cube, self.mask = as_cube(scene.values), torch.from_numpy(scene.mask)[None]
        h, w = scene.mask.shape
        windows = list(tile_windows(h, w, tile or (h, w)))
        self.windows = [windows[i] for i in np.random.default_rng(0).permutation(len(windows))]

    def train_dataloader(self) -> Any:
        """The scene."""
        return DataLoader([{"cube": self.cube, "mask": self.mask}], batch_size=None)  # type: ignore[arg-type]

    def val_dataloader(self) -> Any:
        """Its tiles."""
        return DataLoader(list(self.tiles()), batch_size=None)  # type: ignore[arg-type]

    def tiles(self) -> Iterator[dict[str, Any]]:
        """Yield a batch of each tile."""
        for window in self.windows:
            rows, columns = window.slices
            yield {
                "cube": self.cube[:, :, rows, columns], "mask": self.mask[:, rows, columns],
                "window": torch.tensor([window]), "name": ["scene"],
            }  # fmt: skip


def chain(*more: Any) -> Graph:
    """Return MinMax -> PCA(10) -> RX with metrics."""
    graph = Graph("figures")
    norm = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(COMPONENTS), parent=norm)
    rx = graph.add_node(RXGlobal(), parent=pca)
    graph.add_leaf_node(AnomalyDetectionMetrics(), parent=rx)
    for leaf in more:
        graph.add_leaf_node(leaf, parent=pca)
    return graph


def fitted(scene: Half, *more: Any) -> Graph:
    """Return that chain, fitted on the scene."""
    graph = chain(*more)
    graph.train(Tiles(scene, None), STATISTICS)
    return graph


def judged(graph: Graph, scene: Half, tile: tuple[int, int] | None) -> tuple[dict[str, float], Array]:
    """Return the validation's values, and the score of each pixel (h, w) as the tiles give them."""
    data = Tiles(scene, tile)
    scores = np.full(scene.mask.shape, np.nan, dtype=np.float32)
    for window, batch in zip(data.windows, data.tiles(), strict=True):
        with torch.no_grad():
            scores[window.slices] = graph(batch["cube"]).output[0, 0].numpy()
    return graph.evaluate(data, "val", STATISTICS), scores


# Definitions, in float64. Equal spectra are computed once: a matrix product need not treat its rows alike.


def defined_rx(pixels: Array) -> Array:
    """Return (x − μ)ᵀ Σ⁻¹ (x − μ) of each pixel of (n, c)."""
    distinct, place = np.unique(pixels.astype(np.float64), axis=0, return_inverse=True)
    centred = distinct - pixels.mean(0, dtype=np.float64)
    inverse = np.linalg.inv(np.cov(pixels.astype(np.float64), rowvar=False))
    scores: Array = np.einsum("nc,cd,nd->n", centred, inverse, centred)[place.ravel()]
    return scores


def defined_chain(pixels: Array) -> Array:
    """Return RX of the first ten principal components of bands scaled to 0 … 1."""
    pixels = pixels.astype(np.float64)
    low, high = pixels.min(0), pixels.max(0)
    scaled = (pixels - low) / (high - low + 1e-6)
    variances, vectors = np.linalg.eigh(np.cov(scaled, rowvar=False))
    distinct, place = np.unique(scaled, axis=0, return_inverse=True)
    projected = (distinct - scaled.mean(0)) @ vectors[:, -COMPONENTS:]
    scores: Array = (projected**2 / variances[-COMPONENTS:]).sum(1)[place.ravel()]
    return scores


def defined_aupro(scores: Array, mask: Array) -> float:
    """Return the area under the mean overlap of regions against the false-alarm rate, up to 0.3, over 0.3."""
    labels, n = ndimage.label(mask, np.ones((3, 3)))
    levels = np.unique(scores)[::-1]
    overlap = np.zeros(len(levels))
    for region in range(1, n + 1):
        inside = np.sort(scores[labels == region])
        overlap += (len(inside) - np.searchsorted(inside, levels)) / len(inside) / n
    normal = np.sort(scores[~mask])
    alarms = (len(normal) - np.searchsorted(normal, levels)) / len(normal)
    alarms, overlap = np.append(0.0, alarms), np.append(0.0, overlap)
    x = np.append(alarms[alarms <= LIMIT], LIMIT)
    return float(
        np.trapezoid(np.append(overlap[alarms <= LIMIT], np.interp(LIMIT, alarms, overlap)), x) / LIMIT
    )


# Tables.


def unequal(scores: Sequence[Array], place: Array) -> int:
    """Return how many pixels have a score that differs from that of an equal spectrum, anywhere."""
    all_scores = np.stack([one.ravel() for one in scores])
    low, high = (np.full(place.max() + 1, fill, dtype=np.float32) for fill in (np.inf, -np.inf))
    for one in all_scores:
        np.minimum.at(low, place, one)
        np.maximum.at(high, place, one)
    return int((low != high)[place].sum())


def equal_spectra(scene: Half) -> tuple[list[str], bool]:
    """Return a row of the first table, and whether it is as it should be."""
    pixels = scene.values.reshape(-1, scene.values.shape[-1]).astype(np.float32)
    _, place, counts = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    place = place.ravel()
    precisions, scores = [], []
    for graph in (fitted(scene), fitted(scene, ExplainedVarianceMetric())):
        for threads, tile in product((1, 2), (None, (64, 64), (7, 13))):
            torch.set_num_threads(threads)
            values, found = judged(graph, scene, tile)
            precisions.append(values["val/metric/anomaly_average_precision"])
            scores.append(found)
    defined = average_precision_score(scene.mask.ravel(), defined_chain(pixels))
    differing = unequal(scores, place)
    low, high = min(precisions), max(precisions)
    cells = [
        f"{int((counts[place] > 1).sum())}",
        f"{differing}",
        f"{defined:.7f}",
        f"{low:.7f}",
        f"{high:.7f}",
    ]
    return cells, differing == 0 and high - low <= WITHIN


def tiled_aupro(scene: Half) -> tuple[list[str], bool]:
    """Return a row of the second table, and whether it is as it should be."""
    graph = fitted(scene)
    found = [judged(graph, scene, tile) for tile in (None, *TILES)]
    values = [one["val/metric/anomaly_aupro"] for one, _ in found]
    defined = defined_aupro(found[0][1], scene.mask)
    held = max(abs(value - defined) for value in values) <= WITHIN
    return [f"{value:.7f}" for value in (defined, *values)], held


def dark_level(scene: Half) -> tuple[list[str], bool]:
    """Return a row of the third table, and whether the errors are those that are promised."""
    values = scene.values.astype(np.float64)
    scale = 1.0 if np.issubdtype(scene.values.dtype, np.integer) else 10_000 / values.max()
    counts = np.rint(values * scale)
    cells, held = [], True
    for offset in (0, DARK):
        graph = Graph("dark")
        graph.add_node(RXGlobal())
        moved = Half(counts + offset, scene.mask)
        graph.train(Tiles(moved, None), STATISTICS)
        with torch.no_grad():
            scores = graph(as_cube(moved.values)).output.double().numpy().ravel()
        expected = defined_rx(moved.values.reshape(-1, values.shape[-1]))
        errors = np.abs(scores / expected - 1)
        held &= bool(np.median(errors) <= 1e-5 and errors.max() <= 1e-4)
        cells += [f"{np.median(errors):.1e}", f"{errors.max():.1e}"]
    return cells, held


AUPRO_OF = ["definition", "whole", *(f"tiles of {h} × {w}" for h, w in TILES)]
EQUALS_OF = ["pixels with an equal", "of them unequal scores", "AP, definition", "AP, least", "AP, most"]
ERRORS_OF = ["median error", "greatest", f"median, + {DARK:,}", f"greatest, + {DARK:,}"]
TABLES = (
    ("equal spectra", EQUALS_OF, equal_spectra),
    ("AUPRO", AUPRO_OF, tiled_aupro),
    ("RX with a dark level", ERRORS_OF, dark_level),
)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="labelled scenes")
    chosen = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    failed: list[str] = []
    for title, headings, row in TABLES:
        print(f"\n{title}\n\n| scene | {' | '.join(headings)} |\n|{'---|' * (len(headings) + 1)}")
        for name, scene in scenes(chosen.folder):
            cells, held = row(scene)
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
            failed += [] if held else [f"{title} of {name}"]
    print("\nall hold" if not failed else f"\nnot as stated: {', '.join(failed)}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
