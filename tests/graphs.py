"""Small graphs, and settings and data to train them with."""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.functional.affine import Affine, pixels_of
from cuvis_ai.leaf.bases import Loss
from cuvis_ai.node.base import AffineNode, FittedNode, Node, require_fitted
from cuvis_ai.node.decoder import LinearDecoder, PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.stats import Moments, WeightedMoments
from cuvis_ai.training.config import OptimizerConfig, TrainerConfig, TrainingConfig
from tests.cubes import Batches, as_batches, random_cubes

STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))


def settings(max_epochs: int = 0, lr: float = 1e-2, name: Any = "adam", **trainer: Any) -> TrainingConfig:
    return TrainingConfig(
        trainer=TrainerConfig(max_epochs=max_epochs, enable_progress_bar=False, **trainer),
        optimizer=OptimizerConfig(lr=lr, name=name, weight_decay=0.1 if name == "adamw" else 0.0),
    )


def masks(n: int) -> torch.Tensor:
    return (torch.arange(n * 30) % 7 == 0).view(n, 6, 5)


def data() -> Batches:
    return Batches(
        as_batches(random_cubes(8), mask=masks(8)), as_batches(random_cubes(4, seed=1), 3, mask=masks(4))
    )


def scoring(**rx: Any) -> Graph:
    """A detector that no loss is attached to."""
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer(), name="norm")
    pca = graph.add_node(TrainablePCA(3, trainable=True), parent=norm, name="pca")
    graph.add_node(RXGlobal(**rx), parent=pca, name="rx")
    graph.add_node(RXLogitHead(), parent="rx", name="head")
    return graph


def detector(loss: Loss, **rx: Any) -> Graph:
    graph = scoring(**rx)
    graph.add_leaf_node(loss, parent="head")
    return graph


def autoencoder(decoder: str = "tied", **pca: Any) -> Graph:
    graph = Graph()
    graph.add_node(MinMaxNormalizer(), name="norm")
    graph.add_node(TrainablePCA(3, trainable=True, **pca), parent="norm", name="pca")
    graph.add_node(
        PCADecoder(tied_to="pca") if decoder == "tied" else LinearDecoder(encoder="pca"),
        parent="pca",
        name="decoder",
    )
    return graph


def rx_graph(*leaves: Any) -> Graph:
    graph = Graph()
    rx = graph.add_node(RXGlobal(), name="rx")
    for leaf in leaves:
        graph.add_leaf_node(leaf, parent=rx)
    return graph


def values_of(graph: Graph, train: Any, val: Any) -> dict[str, float]:
    trainer = graph.train(Batches(train, val), STATISTICS_ONLY)
    return {k.removeprefix("val/metric/"): float(v) for k, v in trainer.callback_metrics.items()}


class MeanRemover(Node):
    """A node of a user's own, by the plain protocol: opaque to the planner."""

    state_shapes: ClassVar = {"level": "c"}
    level: torch.Tensor

    def initialize_from_data(self, cubes: Iterator[torch.Tensor]) -> None:
        total, n = torch.zeros(7, dtype=torch.float64), 0
        for cube in cubes:
            assert bool(cube.isfinite().all())
            total += pixels_of(cube).double().sum(0)
            n += len(pixels_of(cube))
        self.set_state(level=(total / n).reshape(-1))

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        require_fitted(self)
        return cube - self.level[:, None, None]


def graph_of(*nodes: Node) -> Graph:
    graph = Graph()
    previous = None
    for i, node in enumerate(nodes):
        previous = graph.add_node(node, parent=previous, name=f"n{i}")
    return graph


class BoxMean(Node):
    """A node of a user's own that looks at neighbours: the mean over 3 × 3 valid pixels."""

    halo = 1

    def forward(self, cube: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        inside = valid[:, None].to(cube.dtype)
        total, count = (
            torch.nn.functional.avg_pool2d(x, 3, 1, 1, divisor_override=1) for x in (cube * inside, inside)
        )
        return total / count.clamp(min=1)


class ReweightedMean(FittedNode, AffineNode):
    """x − m, with m fitted again from pixels that weigh 1 / (1 + ‖mean of x − m over 3 × 3 pixels‖²)."""

    state_shapes: ClassVar = {"level": "c"}
    level: torch.Tensor
    sketch = Moments
    fit_halo = 1

    def finalize(self, sketch: Moments) -> None:
        self.set_state(level=sketch.mean)

    def affine(self) -> Affine:
        return Affine(torch.ones_like(self.level), self.level, torch.zeros_like(self.level))

    def further_passes(self) -> int:
        return 2

    def weights(self, cube: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        return 1 / (1 + BoxMean()(cube - self.level[:, None, None], valid).square().sum(1))

    def refine(self, sketch: WeightedMoments) -> None:
        self.set_state(level=sketch.mean)
