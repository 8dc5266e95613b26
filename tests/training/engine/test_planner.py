"""The plan of the statistical phase: the fewest passes, the same result as fitting node after node."""

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.node.base import FittedNode, Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.engine.planner import context_of, plan
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, BoxMean, MeanRemover, ReweightedMean, graph_of


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


REWEIGHTED = [
    ("three passes", [MinMaxNormalizer, ReweightedMean], [("n0", "n1"), ("n1",), ("n1",)]),
    ("a map that is carried waits for the last", [ReweightedMean, RXGlobal], [("n0",), ("n0",), ("n0", "n1")]),
    ("two after each other", [ReweightedMean, ReweightedMean], [("n0",), ("n0",), ("n0", "n1"), ("n1",), ("n1",)]),
    ("a window after it", [ReweightedMean, BoxMean, RXGlobal], [("n0",), ("n0",), ("n0",), ("n2",)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("chain", "expected"), [row[1:] for row in REWEIGHTED], ids=[row[0] for row in REWEIGHTED]
)
def test_plan_of_passes_with_weights(chain, expected) -> None:  # type: ignore[no-untyped-def]
    graph = graph_of(*(make() for make in chain))
    assert passes(graph) == expected
    datamodule = Batches(as_batches(random_cubes(8)))
    graph.train(datamodule, STATISTICS_ONLY)
    assert datamodule.sets["train"].reads == 4 * len(expected)


def test_context_of_a_pass_is_what_its_windows_see() -> None:
    execution = graph_of(ReweightedMean(), BoxMean(), ReweightedMean())._members.execution
    assert context_of(execution, ["n0"], []) == 0
    assert context_of(execution, ["n0"], ["n0"]) == 1
    assert context_of(execution, ["n2"], []) == 1
    assert context_of(execution, ["n2"], ["n2"]) == 2
    execution.nodes["n1"].halo = None
    assert context_of(execution, ["n2"], ["n2"]) == 0


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
