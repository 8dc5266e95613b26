"""Composed maps are those of the weights as they are when a graph is called."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import GraphError
from cuvis_ai.node.base.state import set_state
from cuvis_ai.node.decoder import PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from tests.cubes import Batches, as_batches, random_cubes

STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))


def fitted(*, follow: bool = False, trainable: bool = False) -> Graph:
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer(), name="norm")
    pca = graph.add_node(TrainablePCA(3, trainable=trainable), parent=norm, name="pca")
    graph.add_node(RXGlobal(stats="follow" if follow else "frozen"), parent=pca, name="rx")
    graph.train(Batches(as_batches(random_cubes(8))), STATISTICS_ONLY)
    return graph


def in_turn(graph: Graph, cube: Tensor) -> Tensor:
    for name in graph.topology.order():
        cube = graph.nodes[name](cube)
    return cube


def through_data(graph: Graph) -> None:
    graph.nodes["pca"].components.data.mul_(2.0)


def in_place(graph: Graph) -> None:
    with torch.no_grad():
        graph.nodes["norm"].running_min.sub_(0.5)


def by_new_tensors(graph: Graph) -> None:
    set_state(graph.nodes["rx"], mu=graph.nodes["rx"].mu + 1)  # type: ignore[operator]


def by_loading(graph: Graph) -> None:
    graph.load_state_dict({key: value * 1.5 for key, value in graph.state_dict().items()})


def by_an_argument(graph: Graph) -> None:
    graph.nodes["norm"].eps = 0.25  # type: ignore[assignment]


def by_another_node_of_that_name(graph: Graph) -> None:
    rx = graph.nodes["rx"]
    graph.remove_node("rx")
    new = graph.add_node(RXGlobal(), parent="pca", name="rx")
    set_state(new, mu=rx.mu + 1, cov=rx.cov, whitening=rx.whitening)  # type: ignore[arg-type,operator]


CHANGES = [through_data, in_place, by_new_tensors, by_loading, by_an_argument, by_another_node_of_that_name]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_whatever_changes_a_weight_changes_the_scores(change: Callable[[Graph], None]) -> None:
    graph, cube = fitted(), random_cubes(seed=1)
    before = graph(cube).output
    change(graph)
    expected = in_turn(graph, cube)
    assert not torch.allclose(before, expected, rtol=1e-2)
    torch.testing.assert_close(graph(cube).output, expected, rtol=1e-4, atol=1e-5)


def test_another_parent_changes_the_scores() -> None:
    graph, cube = fitted(), random_cubes(seed=1)
    other = graph.add_node(TrainablePCA(3), parent="norm", name="other")
    other.load_state_dict({k: v.flip(0) for k, v in graph.nodes["pca"].state_dict().items()})
    before = graph.run(cube, ["rx"])["rx"]
    graph.set_parent("rx", other)
    expected = graph.nodes["rx"](other(graph.nodes["norm"](cube)))
    assert not torch.allclose(before, expected, rtol=1e-2)
    torch.testing.assert_close(graph.run(cube, ["rx"])["rx"], expected, rtol=1e-4, atol=1e-5)


def test_a_decoder_sees_the_weights_of_its_encoder_change() -> None:
    graph = fitted()
    graph.add_node(PCADecoder(tied_to="pca"), parent="pca", name="decoder")
    cube = random_cubes(seed=1)
    before = graph.run(cube, ["decoder"])["decoder"]
    through_data(graph)
    pca, norm, decoder = (graph.nodes[name] for name in ("pca", "norm", "decoder"))
    expected = decoder(pca(norm(cube)))
    assert not torch.allclose(before, expected, rtol=1e-2)
    torch.testing.assert_close(graph.run(cube, ["decoder"])["decoder"], expected, rtol=1e-4, atol=1e-5)


def test_other_channels_are_refused_after_a_call() -> None:
    graph = fitted()
    graph(random_cubes())
    with pytest.raises(GraphError, match="channels"):
        graph(random_cubes()[:, :4])


def test_after_inference_mode_gradients_reach_weights_and_cube() -> None:
    graph, cube = fitted(trainable=True), random_cubes(seed=1)
    with torch.inference_mode():
        scores = graph(cube).output
    graph.nodes["pca"].prepare_for_train()
    for _ in range(2):
        asked = cube.clone().requires_grad_()
        output = graph(asked).output
        torch.testing.assert_close(output, scores)
        output.sum().backward()
        assert bool(graph.nodes["pca"].components.grad.any())
        assert asked.grad is not None
        assert bool(asked.grad.any())
    frozen = fitted()
    with torch.inference_mode():
        frozen(cube)
    asked = cube.clone().requires_grad_()
    frozen(asked).output.sum().backward()
    assert asked.grad is not None
    assert bool(asked.grad.any())


def test_a_copy_of_the_graph_has_weights_of_its_own() -> None:
    graph, cube = fitted(), random_cubes(seed=1)
    before = graph(cube).output
    other = deepcopy(graph)
    through_data(other)
    assert torch.equal(graph(cube).output, before)
    torch.testing.assert_close(other(cube).output, in_turn(other, cube), rtol=1e-4, atol=1e-5)
