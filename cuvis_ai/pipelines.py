"""Ready graphs: what to use who has a scene and wants to know what is in it."""

from collections.abc import Sequence

from cuvis_ai.anomaly.branch_logit_head import BranchLogitHead
from cuvis_ai.anomaly.robust_rx import RobustRX
from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.functional.thresholds import TAIL_SHARE, tail_threshold
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.spatial.guide import Guide
from cuvis_ai.spatial.guided_filter import GuidedFilter
from cuvis_ai.spatial.smoothing import LogSmooth
from cuvis_ai.spatial.top_hat import TopHat
from cuvis_ai.target.ace import ACE
from cuvis_ai.training.losses import BalancedBCEWithLogits
from cuvis_ai.training.metrics import AnomalyDetectionMetrics
from cuvis_ai.training.threshold import Threshold
from cuvis_ai.types import CUBE

FALSE_ALARM_RATE = 1e-3
"""The share of normal pixels that the unsupervised detector takes for anomalies, unless given another."""

EVERY = 2**20
"""More components than a cube has bands: at most as many as there are."""


def unsupervised(
    extent: int | None = 13, n_components: int | None = 32, false_alarm_rate: float = FALSE_ALARM_RATE
) -> Graph:
    """Return the graph that finds anomalies without labels; `graph.train(data)` fits it in three passes.

    PCA → RobustRX → LogSmooth → TopHat → GuidedFilter → TailCalibrator. Its output is the score in units of
    its own tail; the leaf `threshold` turns it into a mask.

    Args:
        extent: in pixels, odd, about 1.5 times the width of the widest target; None for targets of any
            width, without weights and top-hat.
        n_components: components that are kept at most; None for all, which helps with subpixel targets.
        false_alarm_rate: the share of normal pixels that may be above the threshold; between 0 and 1.

    Raises:
        ConfigError: a value that is impossible.

    Example:
        >>> unsupervised(extent=9).halo
        12
    """
    graph = Graph("unsupervised")
    add_anomaly_branch(graph, extent, n_components)
    calibrated = graph.add_node(
        TailCalibrator(false_alarm_rate=false_alarm_rate), parent="score", name="calibrated"
    )
    threshold = (
        Threshold("value", tail_threshold(false_alarm_rate))
        if false_alarm_rate < TAIL_SHARE
        else Threshold("quantile", 1 - false_alarm_rate)
    )
    graph.add_leaf_node(threshold, parent=calibrated, name="threshold")
    return graph


def supervised(
    extent: int | None = 13,
    n_components: int | None = 32,
    *,
    signature: Sequence[float] | None = None,
    features: int = 0,
    train_signature: bool = False,
) -> Graph:
    """Return the graph that finds what training masks mark; `graph.train(data)` fits it in three passes.

    Two branches, the anomaly score of `unsupervised` and ACE with the marked pixels' signature, both through
    the guided filter, are joined by a `BranchLogitHead`. In closed form it is already good; the gradient
    phase trains the head, and what it made is kept if validation agrees. The output is a logit; the leaf
    `threshold` turns it into a mask, at the probability ½ with both classes alike.

    Args:
        extent: in pixels, odd, about 1.5 times the width of the widest target; None for targets of any
            width, without weights and top-hat.
        n_components: components of the anomaly branch at most; None for all.
        signature: spectrum to look for, in units of the cube; None takes the marked pixels' mean. Masks are
            needed in either case: the head is fitted from them.
        features: whitened components that the head sees besides, without weight at the start.
        train_signature: whether the gradient phase trains the signature, too.

    Raises:
        ConfigError: a value that is impossible.

    Example:
        >>> supervised(extent=9).halo
        12
    """
    graph = Graph("supervised")
    add_anomaly_branch(graph, extent, n_components)
    ace = graph.add_node(ACE(signature, trainable=train_signature), parent=CUBE, name="ace")
    target = graph.add_node(GuidedFilter(), parent=[ace, "guide"], name="target")
    branches: list[Node | str] = [target, "score"]
    if features:
        components = TrainablePCA(features, at_most=True, whiten=True)
        branches.append(graph.add_node(components, parent=CUBE, name="features"))
    head = graph.add_node(BranchLogitHead(), parent=branches, name="logit_head")
    graph.add_leaf_node(BalancedBCEWithLogits(), parent=head, name="bce")
    graph.add_leaf_node(AnomalyDetectionMetrics(threshold=0.5), parent=head, name="detection")
    graph.add_leaf_node(Threshold("value", 0.0), parent=head, name="threshold")
    return graph


def add_anomaly_branch(graph: Graph, extent: int | None, n_components: int | None) -> None:
    """Add the nodes that score anomalies to an empty graph: `pca`, `guide`, …, and last `score`.

    Args:
        graph: without nodes.
        extent: in pixels; None leaves out weights and top-hat.
        n_components: components that are kept at most; None for all.
    """
    most = EVERY if n_components is None else n_components
    pca = graph.add_node(TrainablePCA(most, at_most=True), name="pca")
    rx = RobustRX(reweight=0 if extent is None else 1, extent=extent)
    graph.add_node(rx, parent=pca, name="rx")
    image: Node = graph.add_node(LogSmooth(), parent="rx", name="smoothed")
    if extent is not None:
        image = graph.add_node(TopHat(extent), parent=image, name="top_hat")
    guide = graph.add_node(Guide(), parent=pca, name="guide")
    graph.add_node(GuidedFilter(), parent=[image, guide], name="score")
