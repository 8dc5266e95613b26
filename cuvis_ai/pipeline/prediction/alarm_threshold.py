"""The threshold above which a score is a detection: the user's, the graph's own, or that of a rate."""

from collections.abc import Mapping

from torch import nn

from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.functional.thresholds import tail_threshold
from cuvis_ai.leaf.bases import Leaf
from cuvis_ai.node.base import Node
from cuvis_ai.training.threshold import stored_threshold


def alarm_threshold(
    node: Node,
    leaves: nn.ModuleDict,
    parents: Mapping[str, str],
    *,
    threshold: float | None,
    false_alarm_rate: float | None,
) -> float:
    """Return the score above which a pixel is detected.

    Args:
        node: the node whose output are the scores.
        leaves: the graph's leaves by name, of which a `Threshold` attached to that node counts.
        parents: the node that each leaf is attached to.
        threshold: the user's, in place of the graph's.
        false_alarm_rate: the share of normal pixels above the threshold, for a node with a calibrated tail.

    Raises:
        ConfigError: both are given, or a rate that the tail does not reach.
        GraphError: the graph has no threshold, or no calibrated tail.
    """
    if threshold is not None and false_alarm_rate is not None:
        raise ConfigError("expected a threshold or a false-alarm rate, got both. Leave one out.")
    if threshold is not None:
        return threshold
    if false_alarm_rate is not None:
        return _of_rate(node, false_alarm_rate)
    attached = [
        leaf for name, leaf in leaves.items() if parents[name] == node.name and isinstance(leaf, Leaf)
    ]
    stored = stored_threshold(node, attached)
    if stored is not None:
        return stored
    raise GraphError(
        f"{node.label}: expected a threshold to be stored with the graph, got none. Attach a `Threshold` "
        "before training, or pass one."
    )


def _of_rate(node: Node, rate: float) -> float:
    if not isinstance(node, TailCalibrator):
        raise GraphError(
            f"{node.label}: expected scores with a calibrated tail for a false-alarm rate, got others. "
            "End the graph with `TailCalibrator`, or pass a threshold, or `masks`, which set one."
        )
    return tail_threshold(rate)
