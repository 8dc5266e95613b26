"""One row per component: what the laws in `test_laws.py` sweep over.

A new node or leaf adds a row here; the completeness test fails without it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.training.leaf import Leaf
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.metrics import ComponentOrthogonalityMetric, ExplainedVarianceMetric


@dataclass(frozen=True)
class NodeCase:
    """How to make a node; it is tried on cubes of 7 channels."""

    name: str
    make: Callable[[], Node]

    def __str__(self) -> str:
        return self.name


NODES = [
    NodeCase("minmax", lambda: MinMaxNormalizer(eps=1e-6)),
    NodeCase("minmax-per-cube", lambda: MinMaxNormalizer(use_running_stats=False)),
    NodeCase("pca", lambda: TrainablePCA(3, trainable=True)),
    NodeCase("pca-whiten", lambda: TrainablePCA(3, trainable=True, whiten=True)),
    NodeCase("rx", lambda: RXGlobal()),
    NodeCase("rx-ridge", lambda: RXGlobal(eps=0.1)),
    NodeCase("rx-trainable", lambda: RXGlobal(trainable_stats=True)),
]


@dataclass(frozen=True)
class LeafCase:
    """How to make a leaf, and a node that it hangs on, behind a root of 7 channels."""

    name: str
    make: Callable[[], Leaf]
    parent: Callable[[], Node]

    def __str__(self) -> str:
        return self.name


LEAVES = [
    LeafCase("orthogonality", lambda: OrthogonalityLoss(weight=2.0), lambda: TrainablePCA(3, trainable=True)),
    LeafCase("explained-variance", lambda: ExplainedVarianceMetric(), lambda: TrainablePCA(3)),
    LeafCase(
        "explained-variance-whiten", lambda: ExplainedVarianceMetric(), lambda: TrainablePCA(3, whiten=True)
    ),
    LeafCase("component-orthogonality", lambda: ComponentOrthogonalityMetric(), lambda: TrainablePCA(3)),
]
