"""Refitting gives what training on those data gives, in copies; weights of other origin are refused."""

from collections.abc import Callable

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import GraphError
from cuvis_ai.node.decoder import PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.target.ace import ACE
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.engine.refit import refitted
from tests.cubes import Batches, as_batches, random_cubes

ONCE = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))


def decoding() -> Graph:
    """MinMax → PCA → a decoder that refers to it, beside RX."""
    graph = Graph("decoding")
    norm = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(3), parent=norm, name="pca")
    graph.add_node(RXGlobal(), parent=pca, name="rx")
    graph.add_node(PCADecoder(tied_to="pca"), parent=pca, name="decoder")
    return graph


def test_a_refit_is_a_training_on_those_data_and_leaves_the_graph() -> None:
    graph, other = decoding(), decoding()
    graph.train(Batches(as_batches(random_cubes(8))), ONCE)
    other.train(Batches(as_batches(random_cubes(8, seed=1))), ONCE)
    cube, points = random_cubes(1, seed=2), [("rx",), ("decoder",)]
    before = graph._members.execution.evaluate(cube, points).values
    fitted = refitted(graph._members.execution, lambda context: as_batches(random_cubes(8, seed=1)))
    expected = other._members.execution.evaluate(cube, points).values
    for point in points:
        torch.testing.assert_close(fitted.evaluate(cube, points).values[point], expected[point])
        assert torch.equal(graph._members.execution.evaluate(cube, points).values[point], before[point])
        assert not torch.allclose(before[point], expected[point])


@pytest.mark.parametrize(
    ("node", "source"),
    [(lambda: ACE(), "masks"), (lambda: RXGlobal(trainable_stats=True), "gradients")],
)
def test_weights_that_no_scene_gives_are_refused(node: Callable[[], ACE | RXGlobal], source: str) -> None:
    graph = Graph("trained")
    graph.add_node(node(), name="score")
    with pytest.raises(GraphError, match=f"`score`.*weights from {source}"):
        refitted(graph._members.execution, lambda context: as_batches(random_cubes(8)))
