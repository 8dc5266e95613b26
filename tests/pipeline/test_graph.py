"""Building, applying and looking at graphs."""

from collections.abc import Callable

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import GraphError, NotFittedError
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.metrics import ExplainedVarianceMetric
from tests.cubes import Batches, as_batches, random_cubes

STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))


def small(name: str = "small") -> Graph:
    graph = Graph(name)
    norm = graph.add_node(MinMaxNormalizer(eps=1e-6))
    pca = graph.add_node(TrainablePCA(3, trainable=True), parent=norm)
    graph.add_leaf_node(OrthogonalityLoss(), parent=pca)
    return graph


def fitted() -> Graph:
    graph = small()
    graph.train(Batches(as_batches(random_cubes(8))), STATISTICS_ONLY)
    return graph


REFUSED: list[tuple[str, Callable[[Graph], object], str]] = [
    ("no node", lambda g: g.add_node("x"), "expected a Node, got str"),  # type: ignore[type-var]
    ("leaf as node", lambda g: g.add_node(OrthogonalityLoss()), "Use `add_leaf_node`"),  # type: ignore[type-var]
    ("node as leaf", lambda g: g.add_leaf_node(RXGlobal(), parent="trainable_pca"), "Use `add_node`"),  # type: ignore[type-var]
    ("twice", lambda g: g.add_node(g.nodes["trainable_pca"], parent="min_max_normalizer"), "in a graph already"),
    ("of another graph", lambda g: g.add_node(RXGlobal(), parent=small().nodes["trainable_pca"]), "is not in this graph"),
    ("second root", lambda g: g.add_node(RXGlobal()), "second root"),
    ("unknown parent", lambda g: g.add_node(RXGlobal(), parent="nobody"), "`nobody` is not in this graph"),
    ("duplicate name", lambda g: g.add_node(RXGlobal(), parent="trainable_pca", name="trainable_pca"), "already taken"),
    ("name that torch uses", lambda g: g.add_node(RXGlobal(), parent="trainable_pca", name="train"), "torch uses it for itself"),
    ("leaf's name that torch uses", lambda g: g.add_leaf_node(OrthogonalityLoss(), "trainable_pca", name="keys"), "torch uses it for itself"),
    ("wrong leaf parent", lambda g: g.add_leaf_node(OrthogonalityLoss(), parent="min_max_normalizer"), "with components"),
    ("move leaf to wrong parent", lambda g: g.set_parent("orthogonality_loss", "min_max_normalizer"), "with components"),
    ("cycle", lambda g: g.set_parent("min_max_normalizer", "trainable_pca"), "cycle"),
    ("no monitor", lambda g: g.register_monitor("x"), "expected an object with the methods"),  # type: ignore[arg-type]
    ("remove read node", lambda g: g.remove_node("min_max_normalizer"), "reads it"),
    ("remove stranger", lambda g: g.remove_node(RXGlobal()), "is not in this graph"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_and_unchanged(action: Callable[[Graph], object], message: str) -> None:
    graph = small()
    before = repr(graph), graph.mermaid()
    with pytest.raises(GraphError, match=message):
        action(graph)
    assert (repr(graph), graph.mermaid()) == before
    assert not graph.monitors


def test_names_are_readable_and_unique() -> None:
    graph = small()
    graph.add_node(TrainablePCA(2), parent="trainable_pca")
    graph.add_node(RXGlobal(), parent="trainable_pca_2", name="detector")
    assert list(graph.nodes) == ["min_max_normalizer", "trainable_pca", "trainable_pca_2", "detector"]


def test_output_unpacks_into_three_and_hands_labels_through() -> None:
    graph = fitted()
    labels = torch.arange(2)
    scores, back, metadata = graph(random_cubes(), labels=labels, metadata={"name": ["a", "b"]})
    assert scores.shape == (2, 3, 6, 5)
    assert back is labels
    assert metadata == {"name": ["a", "b"]}


def test_unfitted_graph_says_what_to_do() -> None:
    with pytest.raises(
        NotFittedError, match=r"MinMaxNormalizer `min_max_normalizer` is not fitted yet. Run `graph.train"
    ):
        small()(random_cubes())


def test_set_parent_and_remove_node_rewire() -> None:
    graph = small()
    pca = graph.nodes["trainable_pca"]
    other = graph.add_node(
        MinMaxNormalizer(use_running_stats=False), parent="min_max_normalizer", name="other"
    )
    graph.set_parent(pca, other)  # type: ignore[arg-type]
    assert graph.topology.parents["trainable_pca"] == ("other",)
    graph.remove_node("trainable_pca")
    assert list(graph.nodes) == ["min_max_normalizer", "other"]
    assert not graph.leaves
    again = Graph()
    again.add_node(pca)  # type: ignore[type-var]


def test_repr_shows_structure_arguments_and_state() -> None:
    text = repr(fitted())
    assert text.splitlines() == [
        "Graph `small`",
        "  min_max_normalizer: MinMaxNormalizer(eps=1e-06, use_running_stats=True) [fitted]",
        "    trainable_pca: TrainablePCA(n_components=3, trainable=True, whiten=False, eps=1e-06, orthogonal='soft', at_most=False) [fitted]",
        "      · orthogonality_loss: OrthogonalityLoss",
    ]
    assert "[not fitted]" in repr(small())


def test_mermaid_has_every_edge() -> None:
    text = small().mermaid()
    for edge in (
        "cube --> min_max_normalizer",
        "min_max_normalizer --> trainable_pca",
        "trainable_pca -.- orthogonality_loss",
    ):
        assert edge in text


def test_state_dict_round_trip_and_parameters() -> None:
    graph, other = fitted(), small()
    other.load_state_dict(graph.state_dict())
    cube = random_cubes(seed=3)
    assert torch.equal(other(cube).output, graph(cube).output)
    assert list(graph.parameters()) == []


def test_graph_in_float64_takes_float64() -> None:
    graph = fitted().to(torch.float64)
    assert graph(random_cubes(dtype=torch.float64)).output.dtype == torch.float64
    with pytest.raises(GraphError, match=r"expected dtype torch.float64, got torch.float32"):
        graph(random_cubes())


def test_training_nothing_is_refused() -> None:
    with pytest.raises(GraphError, match="nothing to train"):
        Graph().train(Batches([]))
    with pytest.raises(GraphError, match="expected a LightningDataModule, got list"):
        small().train([])  # type: ignore[arg-type]


def test_possible_parents_of_a_leaf() -> None:
    assert small().possible_parents(ExplainedVarianceMetric()) == ["trainable_pca"]
