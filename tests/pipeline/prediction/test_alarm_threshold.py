"""The threshold of a map: the user's, the graph's, or a rate's."""

import math

import pytest

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction.alarm_threshold import alarm_threshold
from cuvis_ai.pipelines import unsupervised
from cuvis_ai.training.threshold import Threshold
from tests.graphs import scoring


def threshold_of(graph: Graph, threshold: float | None = None, rate: float | None = None) -> float:
    node = graph.nodes[graph.topology.end()]
    return alarm_threshold(
        node, graph.leaves, graph.topology.leaves, threshold=threshold, false_alarm_rate=rate
    )


def test_the_stored_one_is_taken_unless_the_user_gives_another() -> None:
    graph = scoring()
    graph.add_leaf_node(Threshold("value", 3.5), graph.topology.end())
    assert threshold_of(graph) == 3.5
    assert threshold_of(graph, 2.0) == 2.0


def test_a_rate_is_that_of_the_exponential_tail() -> None:
    graph = unsupervised(false_alarm_rate=1e-3)
    assert threshold_of(graph) == pytest.approx(math.log(100))
    assert threshold_of(graph, rate=1e-4) == pytest.approx(math.log(1000))
    with pytest.raises(ConfigError, match="below 0.1"):
        threshold_of(graph, rate=0.2)


def test_without_any_the_error_says_what_to_do() -> None:
    graph = scoring()
    with pytest.raises(GraphError, match="Attach a `Threshold`"):
        threshold_of(graph)
    with pytest.raises(GraphError, match="TailCalibrator"):
        threshold_of(graph, rate=1e-3)
    with pytest.raises(ConfigError, match="got both"):
        threshold_of(graph, 1.0, 0.1)
