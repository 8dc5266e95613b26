"""The pass planner: the fewest passes, the same result as fitting node after node."""

import weakref
from collections.abc import Iterator
from typing import ClassVar

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import GraphError, NotFittedError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.node.base import FittedNode, Node, require_fitted
from cuvis_ai.node.base.state import set_state
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.engine.planner import plan
from cuvis_ai.training.engine.statistics import _stream
from tests.cubes import Batches, as_batches, random_cubes

STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))


class MeanRemover(Node):
    """A node of a user's own, by the plain protocol: opaque to the planner."""

    state_shapes: ClassVar = {"level": "c"}
    level: torch.Tensor

    def initialize_from_data(self, cubes: Iterator[torch.Tensor]) -> None:
        total, n = torch.zeros(7, dtype=torch.float64), 0
        for cube in cubes:
            assert bool(cube.isfinite().all())
            total += pixels_of(cube).double().sum(0)
            n += len(pixels_of(cube))
        set_state(self, level=(total / n).reshape(-1))

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        require_fitted(self)
        return cube - self.level[:, None, None]


def graph_of(*nodes: Node) -> Graph:
    graph = Graph()
    previous = None
    for i, node in enumerate(nodes):
        previous = graph.add_node(node, parent=previous, name=f"n{i}")
    return graph


def passes(graph: Graph) -> list[tuple[str, ...]]:
    return [tuple(fits) for fits in plan(graph._members.execution)]


CHAINS = [
    ("minmax pca rx", [MinMaxNormalizer, lambda: TrainablePCA(3), RXGlobal], [("n0", "n1", "n2")]),
    ("minmax minmax", [MinMaxNormalizer, MinMaxNormalizer], [("n0", "n1")]),
    ("pca pca", [lambda: TrainablePCA(4), lambda: TrainablePCA(2, whiten=True)], [("n0", "n1")]),
    ("extrema after a pca", [lambda: TrainablePCA(4), MinMaxNormalizer, RXGlobal], [("n0",), ("n1", "n2")]),
    ("after rx", [RXGlobal, MinMaxNormalizer], [("n0",), ("n1",)]),
    ("own node between", [MinMaxNormalizer, MeanRemover, RXGlobal], [("n0",), ("n1",), ("n2",)]),
    ("per-cube normalizer", [lambda: MinMaxNormalizer(use_running_stats=False), RXGlobal], [("n1",)]),
]  # fmt: skip


@pytest.mark.parametrize(("chain", "expected"), [row[1:] for row in CHAINS], ids=[row[0] for row in CHAINS])
def test_plan(chain, expected) -> None:  # type: ignore[no-untyped-def]
    assert passes(graph_of(*(make() for make in chain))) == expected


@pytest.mark.parametrize(("chain", "expected"), [row[1:] for row in CHAINS], ids=[row[0] for row in CHAINS])
def test_each_pass_reads_the_data_once_and_the_result_is_that_of_fitting_in_turn(chain, expected) -> None:  # type: ignore[no-untyped-def]
    cubes = random_cubes(8)
    batches = as_batches(cubes)
    graph = graph_of(*(make() for make in chain))
    n_passes = len(passes(graph))
    datamodule = Batches(batches)
    graph.train(datamodule, STATISTICS_ONLY)
    assert datamodule.sets["train"].reads == n_passes * len(batches)
    entering = cubes.double()
    for i, make in enumerate(chain):
        alone = make().double()
        fit_alone(alone, entering)
        for key, value in alone.state_dict().items():
            got = graph.nodes[f"n{i}"].state_dict()[key].double()
            torch.testing.assert_close(got, value, rtol=2e-4, atol=2e-4)
        entering = alone(entering)


def fit_alone(node: Node, cube: torch.Tensor) -> None:
    if isinstance(node, FittedNode) and node.sketch is not None:
        sketch = node.sketch()
        sketch.update(pixels_of(cube))
        node.finalize(sketch)
    elif node.requires_initial_fit:
        node.initialize_from_data(iter([cube]))


def test_minmax_pca_rx_makes_exactly_one_pass() -> None:
    datamodule = Batches(as_batches(random_cubes(8)))
    graph_of(MinMaxNormalizer(), TrainablePCA(3), RXGlobal()).train(datamodule, STATISTICS_ONLY)
    assert datamodule.sets["train"].reads == 4


def test_second_training_makes_no_pass_and_reset_makes_one_again() -> None:
    datamodule = Batches(as_batches(random_cubes(8)))
    graph = graph_of(MinMaxNormalizer(), RXGlobal())
    graph.train(datamodule, STATISTICS_ONLY)
    graph.train(datamodule, STATISTICS_ONLY)
    assert datamodule.sets["train"].reads == 4
    graph.reset()
    assert not any(node.fitted for node in graph._members.in_order().values())
    graph.train(datamodule, STATISTICS_ONLY)
    assert datamodule.sets["train"].reads == 8


def test_merged_parents_are_fitted_on_their_concatenation() -> None:
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer(eps=0.0))
    pca = graph.add_node(TrainablePCA(2), parent=norm)
    graph.add_node(RXGlobal(), parent=[pca, norm], name="rx")
    cubes = random_cubes(8)
    datamodule = Batches(as_batches(cubes))
    graph.train(datamodule, STATISTICS_ONLY)
    assert datamodule.sets["train"].reads == 4
    joint = pixels_of(torch.cat([pca(norm(cubes)), norm(cubes)], 1)).double().numpy()
    import numpy as np

    np.testing.assert_allclose(graph.nodes["rx"].cov, np.cov(joint, rowvar=False), atol=1e-5)
    np.testing.assert_allclose(graph.nodes["rx"].mu, joint.mean(0), atol=1e-5)


def test_own_node_sees_valid_pixels_alone() -> None:
    cubes = random_cubes(4)
    spoilt = cubes.clone()
    spoilt[0, :, 0, 0] = 1e6
    spoilt[1, 2, 1, 1] = float("nan")
    valid = torch.ones(4, 6, 5, dtype=torch.bool)
    valid[0, 0, 0] = False
    graph = graph_of(MeanRemover())
    graph.train(Batches(as_batches(spoilt, valid=valid)), STATISTICS_ONLY)
    valid[1, 1, 1] = False
    expected = pixels_of(cubes)[valid.flatten()].mean(0)
    torch.testing.assert_close(graph.nodes["n0"].level, expected)


class Failing(MeanRemover):
    def initialize_from_data(self, cubes: Iterator[torch.Tensor]) -> None:
        raise GraphError("no")


def test_nothing_stays_fitted_when_a_later_node_fails() -> None:
    graph = graph_of(MinMaxNormalizer(), Failing())
    with pytest.raises(GraphError, match="no"):
        graph.train(Batches(as_batches(random_cubes(8))), STATISTICS_ONLY)
    assert not any(node.fitted for node in graph._members.in_order().values())


def test_a_pass_lets_go_of_a_batch_before_it_asks_for_the_one_after_the_next() -> None:
    execution = graph_of(MinMaxNormalizer())._members.execution
    loader = ({"cube": torch.zeros(1, 2, 3, 4)} for _ in range(3))
    stream = _stream(loader, execution, torch.device("cpu"), "", show_progress=False)
    first = weakref.ref(next(stream)["cube"])
    assert first() is not None
    second = next(stream)
    assert first() is None
    assert second["cube"].shape == (1, 2, 3, 4)


class Offset(Node):
    """A node of a user's own that requires fitting and names no state."""

    requires_initial_fit = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offset", torch.zeros(7))

    def initialize_from_data(self, cubes: Iterator[torch.Tensor]) -> None:
        self.offset = torch.cat([pixels_of(cube) for cube in cubes]).mean(0)

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        return cube - self.offset[:, None, None]


def test_node_that_names_no_state_is_fitted_and_never_shown_as_fitted_before() -> None:
    graph, cubes = graph_of(Offset(), RXGlobal()), random_cubes(8)
    assert "[not fitted]" in repr(graph).splitlines()[1]
    with pytest.raises(NotFittedError, match="Offset `n0` is not fitted"):
        graph(cubes)
    graph.train(Batches(as_batches(cubes)), STATISTICS_ONLY)
    torch.testing.assert_close(graph.nodes["n0"].offset, pixels_of(cubes).mean(0))
    output = graph(cubes).output
    other = graph_of(Offset(), RXGlobal())
    other.load_state_dict(graph.state_dict())
    assert torch.equal(other(cubes).output, output)
    graph.reset()
    with pytest.raises(NotFittedError, match="Offset `n0` is not fitted"):
        graph(cubes)


class InOrder(Batches):
    """Says how its training data are best read once."""

    def statistics_dataloader(self) -> list[dict[str, torch.Tensor]]:
        return as_batches(random_cubes(8))


def test_statistics_are_read_as_the_data_module_says() -> None:
    datamodule, graph = InOrder(as_batches(random_cubes(8))), graph_of(MinMaxNormalizer())
    graph.train(datamodule, STATISTICS_ONLY)
    assert datamodule.sets["train"].reads == 0
    assert graph.nodes["n0"].fitted


class Changed(InOrder):
    """Changes the training data, but not how they are read for statistics."""

    def train_dataloader(self) -> list[dict[str, torch.Tensor]]:
        return as_batches(100 * random_cubes(8))


def test_statistics_are_of_the_training_data_that_a_subclass_changed() -> None:
    graph = graph_of(MinMaxNormalizer())
    graph.train(Changed(as_batches(random_cubes(8))), STATISTICS_ONLY)
    expected = (100 * random_cubes(8)).amax((0, 2, 3))
    torch.testing.assert_close(graph.nodes["n0"].running_max, expected)
