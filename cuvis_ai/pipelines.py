"""Ready graphs: what to use who has a scene and wants to know what is in it."""

from cuvis_ai.anomaly.robust_rx import RobustRX
from cuvis_ai.anomaly.tail import TAIL_SHARE, TailCalibrator, tail_threshold
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.spatial.guide import Guide
from cuvis_ai.spatial.guided_filter import GuidedFilter
from cuvis_ai.spatial.smoothing import LogSmooth
from cuvis_ai.spatial.top_hat import TopHat
from cuvis_ai.training.threshold import Threshold


def unsupervised(
    extent: int | None = 13, n_components: int | None = 32, false_alarm_rate: float = 1e-3
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


def add_anomaly_branch(graph: Graph, extent: int | None, n_components: int | None) -> None:
    """Add the nodes that score anomalies to an empty graph: `pca`, `guide`, …, and last `score`.

    Args:
        graph: without nodes.
        extent: in pixels; None leaves out weights and top-hat.
        n_components: components that are kept at most; None for all.
    """
    pca = graph.add_node(TrainablePCA(n_components, at_most=True), name="pca")
    rx = RobustRX(reweight=0 if extent is None else 1, extent=extent)
    graph.add_node(rx, parent=pca, name="rx")
    image: Node = graph.add_node(LogSmooth(), parent="rx", name="smoothed")
    if extent is not None:
        image = graph.add_node(TopHat(extent), parent=image, name="top_hat")
    guide = graph.add_node(Guide(), parent=pca, name="guide")
    graph.add_node(GuidedFilter(), parent=[image, guide], name="score")
