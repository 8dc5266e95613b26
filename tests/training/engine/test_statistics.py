"""The statistical phase: what is fitted, from which pixels, in how many passes."""

import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import GraphError, NotFittedError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.engine.statistics import checked_stream
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, MeanRemover, graph_of


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
    stream = checked_stream(loader, execution, torch.device("cpu"), "", show_progress=False)
    first = weakref.ref(next(stream)["cube"])
    assert first() is not None
    second = next(stream)
    assert first() is None
    assert second["cube"].shape == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("seconds", "rates"),
    [(1.0, "1.0 Mpx/s, 8.0 MB/s"), (0.01, "100 Mpx/s, 800 MB/s"), (40.0, "0.025 Mpx/s, 0.20 MB/s")],
)
def test_rates_are_shown_with_digits_however_slow_the_pass(
    seconds: float, rates: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    clock = iter([0.0, seconds])
    monkeypatch.setattr("cuvis_ai.training.engine.statistics.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("tqdm.auto.tqdm.set_postfix_str", lambda bar, s, refresh: shown.append(s))
    execution = graph_of(MinMaxNormalizer())._members.execution
    loader = [{"cube": torch.zeros(1, 2, 1000, 1000)}]
    list(checked_stream(loader, execution, torch.device("cpu"), "", show_progress=False))
    assert shown == [rates]


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
