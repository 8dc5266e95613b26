"""The archives that the fuzzer starts from: together they hold every node and nearly every leaf.

May import: `cuvis_ai`, and Lightning through it; so only the process that starts the others does.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.node.decoder import LinearDecoder, PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import (
    AnomalyBCEWithLogits,
    MSEReconstructionLoss,
    OrthogonalityLoss,
    WeightedMultiLoss,
)
from cuvis_ai.training.metrics import (
    AnomalyDetectionMetrics,
    ComponentOrthogonalityMetric,
    ExplainedVarianceMetric,
    ScoreStatisticsMetric,
)
from cuvis_ai.training.threshold import Threshold
from cuvis_ai.training.visualizations import (
    AnomalyHeatmap,
    ComponentPlot,
    PCAVisualization,
    ScoreHistogram,
    SpectraPlot,
)

_BANDS = 7


class _Cubes(LightningDataModule):
    """Random cubes with wavelengths and masks."""

    wavelengths = tuple(400.0 + 10 * band for band in range(_BANDS))
    band_indices = tuple(range(_BANDS))

    def train_dataloader(self) -> Any:
        """Two batches."""
        generator = torch.Generator().manual_seed(0)
        cubes = torch.rand(2, 2, _BANDS, 8, 8, generator=generator)
        masks = torch.rand(2, 2, 8, 8, generator=generator) < 0.1
        batches = [{"cube": cube, "mask": mask} for cube, mask in zip(cubes, masks, strict=True)]
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]  # a list serves as a data set

    def val_dataloader(self) -> Any:
        """None."""
        return []


def seeds() -> list[bytes]:
    """Return the archives."""
    fitted = [_decoding(), _detecting(), _following()]
    config = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
    for graph in fitted:
        graph.train(_Cubes(), config)
    unfitted = Graph("unfitted")
    unfitted.add_node(MinMaxNormalizer(use_running_stats=False))
    unfitted.add_node(TrainablePCA(2), parent="min_max_normalizer")
    return [_bytes(graph) for graph in (*fitted, unfitted)]


def _bytes(graph: Graph) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.zip"
        graph.save_to_file(path)
        return path.read_bytes()


def _decoding() -> Graph:
    graph = Graph("decoding")
    normalizer = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(3, trainable=True, whiten=True, orthogonal="hard"), parent=normalizer)
    tied = graph.add_node(PCADecoder(tied_to=pca), parent=pca)
    linear = graph.add_node(LinearDecoder(encoder=pca), parent=pca)
    graph.add_leaf_node(SpectraPlot(), parent=normalizer)
    graph.add_leaf_node(OrthogonalityLoss(), parent=pca)
    graph.add_leaf_node(MSEReconstructionLoss(), parent=tied)
    graph.add_leaf_node(
        WeightedMultiLoss(["orthogonality_loss"], [0.5], learnable=True), parent=pca, name="combined"
    )
    for leaf in (
        ExplainedVarianceMetric(),
        ComponentOrthogonalityMetric(),
        PCAVisualization(),
        ComponentPlot(),
    ):
        graph.add_leaf_node(leaf, parent=pca)
    graph.add_leaf_node(MSEReconstructionLoss(), parent=linear)
    return graph


def _detecting() -> Graph:
    graph = Graph("detecting")
    detector = graph.add_node(RXGlobal(trainable_stats=True))
    head = graph.add_node(RXLogitHead(), parent=detector)
    for leaf in (
        ScoreStatisticsMetric(),
        AnomalyDetectionMetrics(),
        Threshold("quantile", 0.9),
        AnomalyHeatmap(vmin=0.0, vmax=9.0),
        ScoreHistogram(),
    ):
        graph.add_leaf_node(leaf, parent=detector)
    graph.add_leaf_node(AnomalyBCEWithLogits(pos_weight="balanced"), parent=head)
    return graph


def _following() -> Graph:
    graph = Graph("following")
    normalizer = graph.add_node(MinMaxNormalizer())
    first = graph.add_node(TrainablePCA(3, trainable=True), parent=normalizer)
    second = graph.add_node(TrainablePCA(2), parent=normalizer, name="second")
    graph.add_node(RXGlobal(stats="follow", eps=1e-6), parent=[first, second])
    return graph
