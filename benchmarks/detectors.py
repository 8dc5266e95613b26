"""Compares detectors on a folder of labelled scenes: ROC AUC and average precision on held-out halves.

    python -m benchmarks.detectors FOLDER
    python -m benchmarks.detectors FOLDER --seeds 5 --folds

Each scene is cut into left and right halves if both have at least 7 anomalous pixels, else into top and
bottom; a scene whose halves do not both have 5 is left out and named. The halves are separate cubes: each
is trained on and the other tested, so a scene gives two folds. A scene is a file that `read_cube` knows;
its mask is beside it, as for `CubeFolder`, or the array of its own file that has the scene's size.

Printed are the means over the folds and the worst fold's AUC. What draws random numbers is repeated with
each seed: then a row has the means over the seeds, and how far they lie apart. `--folds` lists every fold.
"""

import argparse
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader

from cuvis_ai import pipelines
from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.folders import cube_name, find_cubes, find_mask
from cuvis_ai.data.masks import read_mask
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.target.ace import ACE
from cuvis_ai.training.config import OptimizerConfig, TrainerConfig, TrainingConfig

Array = NDArray[Any]
BALANCED_CUT, LEAST = 7, 5
"""Anomalous pixels in each half for the first cut, and below which a scene is left out."""


class Half(NamedTuple):
    """One half of a scene: values (h, w, c) and mask (h, w)."""

    values: Array
    mask: Array


class Fold(NamedTuple):
    """What is trained on and what is tested."""

    name: str
    train: Half
    test: Half


Scorer = Callable[[Half], Array]
"""Gives a score (h, w) to each pixel of a half."""


class OneCube(LightningDataModule):
    """Serves one half as the training data."""

    def __init__(self, half: Half) -> None:
        super().__init__()
        self.batch = {"cube": as_cube(half.values), "mask": torch.from_numpy(half.mask)[None]}

    def train_dataloader(self) -> Any:
        """One batch."""
        return DataLoader([self.batch], batch_size=None)


def as_cube(values: Array) -> torch.Tensor:
    """Return a batch of one cube (1, c, h, w)."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Detector:
    """A row of the table.

    Attributes:
        name: what it is.
        fit: trains on a half with a seed.
        random: whether the seed matters.
    """

    name: str
    fit: Callable[[Half, int], Scorer]
    random: bool = False


def graph_detector(make: Callable[[], Graph], epochs: int = 0) -> Callable[[Half, int], Scorer]:
    """Return how a graph is trained: in closed form, then for some epochs."""

    def fit(half: Half, seed: int) -> Scorer:
        graph = make()
        trainer = TrainerConfig(max_epochs=epochs, enable_progress_bar=False, accelerator="cpu")
        graph.train(
            OneCube(half), TrainingConfig(seed=seed, trainer=trainer, optimizer=OptimizerConfig(lr=LR))
        )

        def score(test: Half) -> Array:
            with torch.no_grad():
                scores: Array = graph(as_cube(test.values)).output[0, 0].numpy()
            return scores

        return score

    return fit


EPOCHS, LR = 30, 0.01
"""Those of the configuration `phase3_supervised`."""


def pixel_detector(make: Callable[[int], Any]) -> Callable[[Half, int], Scorer]:
    """Return how a classifier of scikit-learn is trained on the spectra."""

    def fit(half: Half, seed: int) -> Scorer:
        classifier = make(seed).fit(_spectra(half), half.mask.ravel())
        return lambda test: classifier.predict_proba(_spectra(test))[:, 1].reshape(test.mask.shape)

    return fit


def _spectra(half: Half) -> Array:
    return half.values.reshape(-1, half.values.shape[-1]).astype(np.float64)


def rx_after_pca() -> Graph:
    """Return RX on three principal components."""
    graph = Graph("rx_after_pca")
    pca = graph.add_node(TrainablePCA(3))
    graph.add_node(RXGlobal(), parent=pca)
    return graph


def single(node: Callable[[], Any]) -> Callable[[], Graph]:
    """Return how a graph of one node is made."""

    def make() -> Graph:
        graph = Graph("single")
        graph.add_node(node())
        return graph

    return make


def guided_signature() -> Graph:
    """Return the supervised pipeline's signature branch alone."""
    graph = pipelines.supervised()
    for name in ("logit_head", "score", "top_hat", "smoothed", "rx"):
        graph.remove_node(name)
    return graph


DETECTORS = [
    Detector("RX on all bands", graph_detector(single(RXGlobal))),
    Detector("RX on 3 principal components", graph_detector(rx_after_pca)),
    Detector("the default: `unsupervised()`", graph_detector(pipelines.unsupervised)),
    Detector(
        "logistic regression, balanced",
        pixel_detector(
            lambda seed: make_pipeline(
                StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)
            )
        ),
    ),
    Detector(
        "LDA with shrinkage",
        pixel_detector(lambda seed: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")),
    ),
    Detector(
        "random forest",
        pixel_detector(
            lambda seed: RandomForestClassifier(100, class_weight="balanced_subsample", random_state=seed)
        ),
        random=True,
    ),
    Detector("ACE, signature from the mask", graph_detector(single(ACE))),
    Detector("ACE through the same guided filter", graph_detector(guided_signature)),
    Detector("`supervised()`, start", graph_detector(pipelines.supervised)),
    Detector("`supervised()`, trained", graph_detector(pipelines.supervised, EPOCHS)),
]


def scenes(folder: Path) -> Iterator[tuple[str, Half]]:
    """Yield the labelled scenes of a folder."""
    for path in find_cubes(folder):
        values = read_cube(path).values[:]
        mask = read_mask(find_mask(path, [folder / "masks"]) or path, values.shape[:2])
        yield cube_name(path), Half(values, mask)


def halves(scene: Half) -> tuple[Half, Half] | None:
    """Return both halves of a scene; None if they do not have enough anomalies."""
    h, w = scene.mask.shape
    left_right = [(slice(None), slice(w // 2)), (slice(None), slice(w // 2, None))]
    top_bottom = [(slice(h // 2), slice(None)), (slice(h // 2, None), slice(None))]
    fewest = min(int(scene.mask[part].sum()) for part in left_right)
    cut = left_right if fewest >= BALANCED_CUT else top_bottom
    first, second = (Half(scene.values[part], scene.mask[part]) for part in cut)
    return (first, second) if min(first.mask.sum(), second.mask.sum()) >= LEAST else None


def folds(folder: Path) -> Iterator[Fold]:
    """Yield both folds of each scene, and say which scenes are left out."""
    for name, scene in scenes(folder):
        parts = halves(scene)
        if parts is None:
            print(f"{name}: left out, {int(scene.mask.sum())} anomalous pixels are too few for two halves")
            continue
        yield Fold(f"{name}, 1", parts[0], parts[1])
        yield Fold(f"{name}, 2", parts[1], parts[0])


class Result(NamedTuple):
    """Of one fold, or means."""

    auc: float
    precision: float


def tested(detector: Detector, fold: Fold, seed: int) -> Result:
    """Train on one half and test on the other."""
    scores = detector.fit(fold.train, seed)(fold.test).ravel()
    truth = fold.test.mask.ravel()
    return Result(float(roc_auc_score(truth, scores)), float(average_precision_score(truth, scores)))


def row(detector: Detector, all_folds: Sequence[Fold], seeds: int) -> tuple[str, list[Result]]:
    """Return a line of the table, and the folds' results with the first seed."""
    start = time.perf_counter()
    runs = [
        [tested(detector, fold, seed) for fold in all_folds]
        for seed in range(seeds if detector.random else 1)
    ]
    seconds = (time.perf_counter() - start) / len(runs) / len(all_folds)
    means = [Result(*(statistics.fmean(values) for values in zip(*run, strict=True))) for run in runs]
    auc, precision = (statistics.fmean(values) for values in zip(*means, strict=True))
    worst = min(one.auc for run in runs for one in run)
    apart = max(m.precision for m in means) - min(m.precision for m in means)
    spread = f" (seeds ±{apart / 2:.3f})" if len(runs) > 1 else ""
    line = f"| {detector.name} | {auc:.4f} | {precision:.3f}{spread} | {worst:.3f} | {seconds:.2f} |"
    return line, runs[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="labelled scenes")
    parser.add_argument("--seeds", type=int, default=3, help="runs of what draws random numbers")
    parser.add_argument("--folds", action="store_true", help="list every fold, too")
    chosen = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    all_folds = list(folds(chosen.folder))
    if not all_folds:
        raise SystemExit(
            f"{chosen.folder}: expected a scene whose halves both have {LEAST} anomalous pixels."
        )
    print(
        f"\n{len(all_folds)} folds\n\n| detector | AUC | AP | worst AUC | s a fold |\n|---|---|---|---|---|"
    )
    details = []
    for detector in DETECTORS:
        line, results = row(detector, all_folds, chosen.seeds)
        print(line, flush=True)
        details.append((detector.name, results))
    if chosen.folds:
        print("\n| fold | " + " | ".join(name for name, _ in details) + " |\n|" + "---|" * (len(details) + 1))
        for i, fold in enumerate(all_folds):
            cells = (f"{of[i].auc:.4f} / {of[i].precision:.3f}" for _, of in details)
            print(f"| {fold.name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
