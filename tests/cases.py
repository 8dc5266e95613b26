"""One row per component: what the laws in `test_laws.py` sweep over.

A new node or leaf adds a row here; the completeness test fails without it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from cuvis_ai.anomaly.branch_logit_head import BranchLogitHead
from cuvis_ai.anomaly.robust_rx import RobustRX
from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.leaf.bases import Leaf
from cuvis_ai.node.base import Node
from cuvis_ai.node.decoder import LinearDecoder, PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.node.torch import TorchNode
from cuvis_ai.normalization.normalization import MinMaxNormalizer, StandardNormalizer
from cuvis_ai.spatial.guide import Guide
from cuvis_ai.spatial.guided_filter import GuidedFilter
from cuvis_ai.spatial.smoothing import LogSmooth
from cuvis_ai.spatial.top_hat import TopHat
from cuvis_ai.target.ace import ACE
from cuvis_ai.training.losses import (
    AnomalyBCEWithLogits,
    BalancedBCEWithLogits,
    MSEReconstructionLoss,
    OrthogonalityLoss,
    SelectorDiversityRegularizer,
    SelectorEntropyRegularizer,
    WeightedMultiLoss,
)
from cuvis_ai.training.metrics import (
    AnomalyDetectionMetrics,
    ComponentOrthogonalityMetric,
    ExplainedVarianceMetric,
    ScoreStatisticsMetric,
)
from cuvis_ai.training.threshold import Threshold


@dataclass(frozen=True)
class NodeCase:
    """How to make a node, and the channels of the cubes that it is tried on."""

    name: str
    make: Callable[[], Node]
    channels: int = 7
    allow: tuple[str, ...] = ()
    """Packages whose classes its saved graph names."""

    def __str__(self) -> str:
        return self.name


def convolution(size: int, *, trainable: bool = False) -> TorchNode:
    """Return one with the same weights in each call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TorchNode(nn.Conv2d(7, 3, size, padding="same"), trainable=trainable, reach=size // 2)


NODES = [
    NodeCase("minmax", lambda: MinMaxNormalizer(eps=1e-6)),
    NodeCase("minmax-per-cube", lambda: MinMaxNormalizer(use_running_stats=False)),
    NodeCase("standard", lambda: StandardNormalizer()),
    NodeCase("standard-of-all-channels", lambda: StandardNormalizer(per_channel=False)),
    NodeCase("pca", lambda: TrainablePCA(3, trainable=True)),
    NodeCase("pca-whiten", lambda: TrainablePCA(3, trainable=True, whiten=True)),
    NodeCase("rx", lambda: RXGlobal()),
    NodeCase("rx-ridge", lambda: RXGlobal(eps=0.1)),
    NodeCase("rx-shrinkage", lambda: RXGlobal(shrinkage=1e-3)),
    NodeCase("pca-hard", lambda: TrainablePCA(3, trainable=True, orthogonal="hard")),
    NodeCase("rx-trainable", lambda: RXGlobal(trainable_stats=True)),
    NodeCase("pca-at-most", lambda: TrainablePCA(32, at_most=True, trainable=True)),
    NodeCase("robust-rx", lambda: RobustRX(extent=3)),
    NodeCase("robust-rx-trainable", lambda: RobustRX(reweight=0, extent=None, trainable_stats=True)),
    NodeCase("tail", lambda: TailCalibrator(), channels=1),
    NodeCase("log-smooth", lambda: LogSmooth(), channels=1),
    NodeCase("top-hat", lambda: TopHat(3)),
    NodeCase("guide", lambda: Guide()),
    NodeCase("guided-filter", lambda: GuidedFilter(), channels=4),
    NodeCase("logit-head", lambda: RXLogitHead(), channels=1),
    NodeCase("logit-head-given", lambda: RXLogitHead(init_scale=0.5, init_bias=1.0), channels=1),
    NodeCase("branch-logit-head", lambda: BranchLogitHead(), channels=2),
    NodeCase("branch-logit-head-features", lambda: BranchLogitHead([1.0]), channels=3),
    NodeCase("torch", lambda: convolution(1, trainable=True), allow=("torch.nn",)),
    NodeCase("torch-window", lambda: convolution(3), allow=("torch.nn",)),
    NodeCase("ace", lambda: ACE()),
    NodeCase("ace-given", lambda: ACE([1.0, 3.0, -2.0, 0.5, 4.0, 9.0, 2.0])),
    NodeCase("ace-region", lambda: ACE(region=1)),
    NodeCase("ace-trainable", lambda: ACE(trainable=True)),
    NodeCase("selector", lambda: SoftChannelSelector(3)),
    NodeCase("selector-soft", lambda: SoftChannelSelector(3, hard=False, init_method="explained")),
    NodeCase("selector-frozen", lambda: SoftChannelSelector(3, init_method="uniform", trainable=False)),
]


@dataclass(frozen=True)
class DecoderCase:
    """How to make a node that refers to the node `pca`."""

    name: str
    make: Callable[[], Node]

    def __str__(self) -> str:
        return self.name


DECODERS = [
    DecoderCase("pca-decoder", lambda: PCADecoder(tied_to="pca")),
    DecoderCase("linear-decoder", lambda: LinearDecoder(encoder="pca")),
]


@dataclass(frozen=True)
class LeafCase:
    """How to make a leaf, and the nodes after a normalizer of 7 channels; it is attached to the last of them."""

    name: str
    make: Callable[[], Leaf]
    chain: tuple[Callable[[], Node], ...]

    def __str__(self) -> str:
        return self.name


HEAD = lambda: BranchLogitHead([1.0])  # noqa: E731
PCA = lambda: TrainablePCA(3, trainable=True)  # noqa: E731
WHITENED = lambda: TrainablePCA(3, whiten=True)  # noqa: E731
HARD = lambda: TrainablePCA(3, trainable=True, orthogonal="hard")  # noqa: E731
SELECTOR = lambda: SoftChannelSelector(3)  # noqa: E731
DECODER = lambda: PCADecoder(tied_to="trainable_pca")  # noqa: E731

LEAVES = [
    LeafCase("orthogonality", lambda: OrthogonalityLoss(weight=2.0), (PCA,)),
    LeafCase("orthogonality-hard", lambda: OrthogonalityLoss(), (HARD,)),
    LeafCase("reconstruction", lambda: MSEReconstructionLoss(weight=0.5), (PCA, DECODER)),
    LeafCase("bce", lambda: AnomalyBCEWithLogits(pos_weight=3.0), (RXGlobal, RXLogitHead)),
    LeafCase("bce-balanced", lambda: AnomalyBCEWithLogits(pos_weight="balanced"), (RXGlobal, RXLogitHead)),
    LeafCase("bce-class-balanced", lambda: BalancedBCEWithLogits(), (ACE, HEAD)),
    LeafCase("bce-class-balanced-free", lambda: BalancedBCEWithLogits(anchor=0.0), (RXGlobal, RXLogitHead)),
    LeafCase("selector-entropy", lambda: SelectorEntropyRegularizer(), (SELECTOR,)),
    LeafCase("selector-entropy-target", lambda: SelectorEntropyRegularizer(0.1, 1.2), (SELECTOR,)),
    LeafCase("selector-diversity", lambda: SelectorDiversityRegularizer(), (SELECTOR,)),
    LeafCase("multi", lambda: WeightedMultiLoss([OrthogonalityLoss()], [0.5]), (PCA,)),
    LeafCase(
        "multi-learnable", lambda: WeightedMultiLoss([OrthogonalityLoss()], [0.5], learnable=True), (PCA,)
    ),
    LeafCase("explained-variance", lambda: ExplainedVarianceMetric(), (PCA,)),
    LeafCase("explained-variance-whiten", lambda: ExplainedVarianceMetric(), (WHITENED,)),
    LeafCase("component-orthogonality", lambda: ComponentOrthogonalityMetric(), (PCA,)),
    LeafCase("detection", lambda: AnomalyDetectionMetrics(threshold_multiplier=1.0), (RXGlobal,)),
    LeafCase("detection-logits", lambda: AnomalyDetectionMetrics(threshold=0.3), (RXGlobal, RXLogitHead)),
    LeafCase("score-statistics", lambda: ScoreStatisticsMetric(), (RXGlobal,)),
    LeafCase("threshold", lambda: Threshold("f1_max"), (RXGlobal,)),
    LeafCase("threshold-quantile", lambda: Threshold("quantile", 0.9), (RXGlobal,)),
    LeafCase("threshold-value", lambda: Threshold("value", 3.0), (RXGlobal,)),
]
