"""A graph of two branches, one with a node of a user's own."""

import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from tests.cubes import Batches, as_batches, random_cubes

STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))


class Smooth(Node):
    """A node of a user's own: a spatial mean over 3 rows, counting its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.nn.functional.avg_pool2d(cube, (3, 1), 1, (1, 0), count_include_pad=False)


def branched() -> Graph:
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer(), name="norm")
    pca = graph.add_node(TrainablePCA(3), parent=norm, name="pca")
    smooth = graph.add_node(Smooth(), parent=norm, name="smooth")
    graph.add_node(TrainablePCA(2), parent=smooth, name="smooth_pca")
    graph.add_node(RXGlobal(), parent=[pca, norm, "smooth_pca"], name="rx")
    graph.add_node(TrainablePCA(4), parent=[pca, norm], name="joint")
    graph.train(Batches(as_batches(random_cubes(8))), STATISTICS_ONLY)
    return graph
