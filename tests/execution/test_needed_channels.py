"""The channels that a graph needs, and the graph on these alone."""

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.execution.needed_channels import needed_channels, sliced
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.normalization.normalization import MinMaxNormalizer, StandardNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from tests.cubes import Batches, as_batches, random_cubes

ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, accelerator="cpu", enable_progress_bar=False))


def fitted(*nodes: Node) -> Graph:
    graph, parent = Graph(), None
    for node in nodes:
        parent = graph.add_node(node, parent=parent)
    graph.train(Batches(as_batches(random_cubes(6))), ONLY)
    return graph


@pytest.mark.parametrize("first", [MinMaxNormalizer, StandardNormalizer])
def test_the_graph_on_the_needed_channels_scores_alike(first: type[Node]) -> None:
    graph = fitted(first(), SoftChannelSelector(3), RXGlobal())
    needed = graph.needed_channels
    assert needed == sorted(graph.nodes["soft_channel_selector"].get_selected_channels().tolist())
    part = sliced(graph._members.execution, needed, 7)
    cube = random_cubes(2, seed=5)
    expected = graph(cube).output
    found = part.evaluate(cube[:, needed], [("rx_global",)]).values["rx_global",]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "nodes",
    [
        (TrainablePCA(5), SoftChannelSelector(3)),
        (SoftChannelSelector(3, hard=False, init_method="explained"), RXGlobal()),
        (MinMaxNormalizer(use_running_stats=False), SoftChannelSelector(3)),
        (MinMaxNormalizer(), RXGlobal()),
    ],
    ids=["mixed before", "soft", "by each cube's extremes", "no choice"],
)
def test_whatever_mixes_or_hands_on_bands_needs_all(nodes: tuple[Node, ...]) -> None:
    assert needed_channels(fitted(*nodes)._members.execution) is None


def test_a_second_reader_of_the_cube_needs_all_or_adds_its_own() -> None:
    graph = fitted(MinMaxNormalizer(), SoftChannelSelector(2, init_method="uniform"))
    assert graph.needed_channels == [0, 6]
    other = graph.add_node(SoftChannelSelector(1, init_method="uniform"), parent="min_max_normalizer")
    graph.train(Batches(as_batches(random_cubes(6))), ONLY)
    assert graph.needed_channels == [0, 3, 6]
    graph.remove_node(other)
    graph.add_node(RXGlobal(), parent="min_max_normalizer")
    assert graph.needed_channels is None
