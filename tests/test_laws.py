"""What holds for every component, swept over the table in `cases.py`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils.parametrize import is_parametrized

import cuvis_ai.anomaly.rx_detector
import cuvis_ai.node.pca
import cuvis_ai.normalization.normalization
from cuvis_ai.errors import GraphError, NotFittedError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf.bases import Leaf, Metric
from cuvis_ai.node.base import AffineNode, FittedNode, Node, freeze, structure_of
from cuvis_ai.node.base.arguments import hyperparameters
from cuvis_ai.node.base.state import plain_state
from cuvis_ai.node.torch import TorchNode
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.stats import Structure
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from tests.cases import DECODERS, LEAVES, NODES, LeafCase, NodeCase
from tests.cubes import Batches, as_batches, random_cubes
from tests.found import final_classes
from tests.recorded_run import fitted_graph, selector_graph

nodes = pytest.mark.parametrize("case", NODES, ids=str)
leaves = pytest.mark.parametrize("case", LEAVES, ids=str)
STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))


def fitted(case: NodeCase, dtype: torch.dtype = torch.float32) -> Node:
    node = case.make().to(dtype)
    fit(node, random_cubes(8, case.channels, dtype=dtype))
    return node


def fit(node: Node, *cubes: torch.Tensor, bright_above: float = 0.5) -> None:
    if isinstance(node, FittedNode) and node.sketch is not None:
        sketch = node.sketch()
        for cube in cubes:
            sketch.update(
                pixels_of(cube), None, bright(cube, bright_above).flatten() if sketch.sees_truth else None
            )
        node.finalize(sketch)


def bright(cube: torch.Tensor, above: float = 0.5) -> torch.Tensor:
    """Mark the pixels that are bright in the first channel as anomalies."""
    return cube[:, 0] > above


def test_every_component_has_a_row() -> None:
    """Nodes and leaves have a row in `cases.py`; pictures are attached to the graphs of `recorded_run.py`."""
    rows = {type(case.make()) for case in (*NODES, *DECODERS, *LEAVES)}
    graphs = fitted_graph(), selector_graph()
    pictures = {type(leaf) for graph in graphs for leaf in graph.leaves.values()}
    assert rows | pictures == final_classes(Node) | final_classes(Leaf)


@nodes
def test_unfitted_node_says_so_by_name(case: NodeCase) -> None:
    node = case.make()
    if not node.requires_initial_fit:
        pytest.skip("needs no fitting")
    graph = Graph()
    graph.add_node(node, name="mine")
    with pytest.raises(NotFittedError, match=r"`mine` is not fitted"):
        graph(random_cubes(c=case.channels))
    with pytest.raises(NotFittedError, match=r"`mine` is not fitted"):
        node(random_cubes(c=case.channels))
    with pytest.raises(NotFittedError, match=r"`mine` is not fitted"):
        node.prepare_for_train()


@nodes
def test_any_split_and_order_of_the_data_fits_alike(case: NodeCase) -> None:
    cubes = random_cubes(8, case.channels)
    whole, parts = case.make(), case.make()
    fit(whole, cubes)
    fit(parts, *(cubes[i : i + 1] for i in reversed(range(8))))
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[key], value, rtol=1e-5, atol=1e-5)


@nodes
def test_state_dict_restores_a_fresh_node(case: NodeCase) -> None:
    node, fresh = fitted(case), case.make()
    node.prepare_for_train()
    fresh.load_state_dict(plain_state(node, node.state_shapes))
    assert fresh.fitted
    cube = random_cubes(c=case.channels, seed=1)
    assert torch.equal(fresh(cube), node(cube))


@nodes
def test_forward_changes_neither_input_nor_state(case: NodeCase) -> None:
    node, cube = fitted(case), random_cubes(c=case.channels, seed=1)
    before = {key: value.clone() for key, value in node.state_dict().items()}
    kept = cube.clone()
    node(cube)
    assert torch.equal(cube, kept)
    assert all(torch.equal(value, before[key]) for key, value in node.state_dict().items())


@nodes
def test_prepare_and_freeze_change_parameters_not_outputs(case: NodeCase) -> None:
    node, cube = fitted(case), random_cubes(c=case.channels, seed=1)
    expected = node(cube)
    keys = set(node.state_dict())

    def trained() -> bool:
        return any(parameter.requires_grad for parameter in node.parameters())

    assert not trained()
    node.prepare_for_train()
    possible = bool(node.trained_names) or isinstance(node, TorchNode)
    assert trained() == (node.trainable and possible)
    if is_parametrized(node):  # the parametrization gives its value back to rounding
        torch.testing.assert_close(node(cube).detach(), expected, rtol=1e-5, atol=1e-5)
    else:
        assert torch.equal(node(cube).detach(), expected)
    assert set(plain_state(node, node.state_shapes)) == keys
    freeze(node)
    assert not trained()
    torch.testing.assert_close(node(cube), expected, rtol=1e-5, atol=1e-5)


@nodes
def test_refitting_a_trained_node_works(case: NodeCase) -> None:
    node, again = fitted(case), fitted(case)
    again.prepare_for_train()
    fit(again, random_cubes(8, case.channels))
    freeze(again)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in node.state_dict().items())


@nodes
def test_dtype_is_kept_and_output_is_a_channels_last_cube(case: NodeCase) -> None:
    for dtype in (torch.float32, torch.float64):
        cube = random_cubes(3, case.channels, seed=1, dtype=dtype)
        node = fitted(case, dtype)
        output = node(cube)
        assert output.dtype == dtype
        assert (output.shape[0], *output.shape[2:]) == (3, 6, 5)
        assert output.shape[1] == node.out_channels(case.channels)
        # Before it is fitted, a node may not know.
        assert case.make().out_channels(case.channels) in (output.shape[1], None)


@nodes
def test_affine_form_and_pointwise_function_give_the_same_as_forward(case: NodeCase) -> None:
    node, cube = fitted(case, torch.float64), random_cubes(c=case.channels, seed=1, dtype=torch.float64)
    if not isinstance(node, AffineNode) or node.structure is Structure.OPAQUE:
        pytest.skip("has no affine form")
    affine = node.affine()
    assert affine.channelwise == (node.structure is Structure.CHANNELWISE)
    by_hand = torch.einsum(
        "kc,bchw->bkhw", affine.matrix(), cube - affine.center[:, None, None]
    ) + affine.bias[:, None, None]  # fmt: skip
    torch.testing.assert_close(node.pointwise(by_hand), node(cube))


@nodes
def test_gradients_are_right(case: NodeCase) -> None:
    node = fitted(case, torch.float64)
    node.prepare_for_train()
    cube = random_cubes(1, case.channels, h=2, w=2, seed=1, dtype=torch.float64).requires_grad_()
    names = [name for name, _ in node.named_parameters()]

    def output(cube: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(node, dict(zip(names, values, strict=True)), cube)

    parameters = tuple(p.detach().clone().requires_grad_() for p in node.parameters())
    assert torch.autograd.gradcheck(output, (cube, *parameters))


@nodes
def test_a_dark_level_costs_no_digits(case: NodeCase) -> None:
    """Whole numbers of a spread of 10 about 50,000, where float32 has steps of 0.004."""
    if not case.make().requires_initial_fit:
        pytest.skip("is fitted to nothing")
    cubes = (10 * random_cubes(8, case.channels, dtype=torch.float64)).round() + 50_000
    found, exact = case.make(), case.make().double()
    graph, graph_64 = Graph(), Graph()
    for node, its_graph, its_cubes in ((found, graph, cubes.float()), (exact, graph_64, cubes)):
        fit(its_graph.add_node(node), its_cubes, bright_above=50_000.0)
    if structure_of(found) is Structure.OPAQUE:
        pytest.skip("computes with no center")
    expected = graph_64(cubes).output
    for output in (graph(cubes.float()).output, found(cubes.float())):
        # A node that leaves the level where it is cannot have more digits than float32 has there.
        rounding = torch.finfo(torch.float32).eps * expected.abs()
        error = ((output.double() - expected).abs() - rounding).clamp(min=0)
        error = error / expected.std((0, 2, 3), keepdim=True)
        assert float(error.median()) < 1e-5
        assert float(error.max()) < 1e-4


@nodes
def test_arguments_are_kept_for_saving(case: NodeCase) -> None:
    node = case.make()
    again = type(node)(**hyperparameters(node))
    assert hyperparameters(again) == hyperparameters(node)


@nodes
def test_wrong_channel_count_is_refused_by_name(case: NodeCase) -> None:
    node = fitted(case)
    if not node.requires_initial_fit:
        pytest.skip("takes any number of channels")
    node.name = "mine"
    with pytest.raises(GraphError, match=rf"`mine`: expected {case.channels} channels .* got 5"):
        node(random_cubes(c=5))


@nodes
def test_saved_graph_gives_equal_bits(case: NodeCase, tmp_path: Path) -> None:
    graph = Graph("one")
    graph.add_node(fitted(case))
    graph.save_to_file(tmp_path / "one.zip")
    cube = random_cubes(c=case.channels, seed=3)
    loaded = Graph.load_from_file(tmp_path / "one.zip", allow=case.allow)
    assert torch.equal(loaded(cube).output, graph(cube).output)
    assert repr(loaded) == repr(graph)


@nodes
def test_invalid_pixels_change_nothing_but_themselves(case: NodeCase) -> None:
    graph = Graph()
    node = graph.add_node(fitted(case))
    cube = random_cubes(c=case.channels, seed=4)
    expected = graph(cube).output
    if structure_of(node) is Structure.OPAQUE:
        pytest.skip("looks at other pixels, which a lost one may change")
    spoilt = cube.clone()
    spoilt[0, case.channels // 3, 1, 1] = float("nan")
    spoilt[1, 0, 0, 3] = float("inf")
    output, _, metadata = graph(spoilt)
    valid = torch.ones(2, 6, 5, dtype=torch.bool)
    valid[0, 1, 1] = valid[1, 0, 3] = False
    assert torch.equal(metadata["valid"], valid)
    kept = valid[:, None].expand_as(expected)
    torch.testing.assert_close(output[kept], expected[kept], rtol=1e-5, atol=1e-6)
    assert output[~kept].isnan().all()


def run_leaf(case: LeafCase, batches: list[dict[str, torch.Tensor]]) -> dict[str, float]:
    """Return what a leaf logs on validation batches, on a graph fitted to fixed cubes."""
    graph = Graph()
    parent = graph.add_node(MinMax())
    for make in case.chain:
        parent = graph.add_node(make(), parent=parent)
    graph.add_leaf_node(case.make(), parent=parent)
    train = as_batches(random_cubes(6, seed=5), mask=mask_of(6))
    trainer = graph.train(Batches(train, batches), STATISTICS_ONLY)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def mask_of(n: int, w: int = 5) -> torch.Tensor:
    """Every 7th pixel is an anomaly."""
    return (torch.arange(n * 6 * w) % 7 == 0).view(n, 6, w)


def MinMax() -> Node:
    return cuvis_ai.normalization.normalization.MinMaxNormalizer()


@leaves
@pytest.mark.parametrize("size", [1, 2, 8])
def test_leaf_values_do_not_depend_on_batching(case: LeafCase, size: int) -> None:
    cubes = random_cubes(8, seed=6)
    mask = mask_of(8)
    reference = run_leaf(case, as_batches(cubes, 3, mask=mask))
    assert reference
    for order in (list(range(8)), list(reversed(range(8)))):
        values = run_leaf(case, as_batches(cubes[order], size, mask=mask[order]))
        assert values.keys() == reference.keys()
        np.testing.assert_allclose(list(values.values()), list(reference.values()), rtol=1e-6, atol=1e-9)


@leaves
def test_leaf_values_pass_over_invalid_pixels(case: LeafCase) -> None:
    cubes = random_cubes(4, seed=7)
    wide = torch.cat([cubes, random_cubes(4, w=3, seed=8) * 1e3], 3)
    valid = torch.ones(4, 6, 8, dtype=torch.bool)
    valid[..., 5:] = False
    spoilt = wide.clone()
    spoilt[..., 5:] = float("nan")
    mask = mask_of(4)
    wide_mask = torch.cat([mask, torch.ones(4, 6, 3, dtype=torch.bool)], 2)
    reference = run_leaf(case, as_batches(cubes, mask=mask))
    for cube, others in ((wide, {"valid": valid}), (spoilt, {}), (spoilt, {"valid": valid})):
        values = run_leaf(case, as_batches(cube, mask=wide_mask, **others))
        np.testing.assert_allclose(list(values.values()), list(reference.values()), rtol=1e-6, atol=1e-9)


@leaves
def test_leaf_arguments_are_kept_for_saving(case: LeafCase) -> None:
    leaf = case.make()
    again = type(leaf)(**hyperparameters(leaf))
    assert hyperparameters(again) == hyperparameters(leaf)


@leaves
def test_leaf_survives_saving(case: LeafCase, tmp_path: Path) -> None:
    graph = Graph()
    parent = graph.add_node(MinMax())
    for make in case.chain:
        parent = graph.add_node(make(), parent=parent)
    graph.add_leaf_node(case.make(), parent=parent)
    graph.train(
        Batches(as_batches(random_cubes(6), mask=mask_of(6)), as_batches(random_cubes(2), mask=mask_of(2))),
        STATISTICS_ONLY,
    )
    graph.save_to_file(tmp_path / "graph.zip")
    loaded = Graph.load_from_file(tmp_path / "graph.zip")
    assert repr(loaded) == repr(graph)
    state, expected = loaded.leaves.state_dict(), graph.leaves.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], value) for key, value in expected.items())


@leaves
def test_leaf_refuses_a_parent_that_it_cannot_be_attached_to(case: LeafCase) -> None:
    graph = Graph()
    graph.add_node(MinMax())
    wrong = graph.add_node(RXOrPCA(case), parent="min_max_normalizer")
    leaf = case.make()
    if type(leaf).check_parent is Leaf.check_parent:
        pytest.skip("can be attached to any node")
    with pytest.raises(GraphError, match=r"expected a (parent|decoder)"):
        graph.add_leaf_node(leaf, parent=wrong)
    assert not graph.leaves
    assert not graph.topology.leaves


@nodes
def test_metrics_and_statistics_share_execution(case: NodeCase) -> None:
    """Composing a chain gives what calling its nodes one after the other gives."""
    graph = Graph()
    first = graph.add_node(MinMax())
    second = graph.add_node(cuvis_ai.node.pca.TrainablePCA(max(case.channels, 5)), parent=first)
    if case.channels == 1:
        second = graph.add_node(cuvis_ai.anomaly.rx_detector.RXGlobal(), parent=second)
    third = graph.add_node(case.make(), parent=second)
    cubes = random_cubes(8)
    truth = cubes.mean(1) > 3.5
    graph.train(Batches(as_batches(cubes, mask=truth, labels=truth)), STATISTICS_ONLY)
    cube = random_cubes(seed=2)
    expected = cube
    for node in graph._members.in_order().values():
        expected = node(expected)
    assert third.fitted
    torch.testing.assert_close(graph(cube).output, expected, rtol=1e-4, atol=1e-5)
    assert isinstance(graph._members.execution, Execution)


@nodes
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_pointwise_function_hides_no_value_that_is_not_finite(case: NodeCase, value: float) -> None:
    node = case.make()
    if not isinstance(node, AffineNode):
        pytest.skip("looks at neighbours")
    projected = torch.randn(2, 3, 4, 4)
    projected[1, 2, 0, 0] = value
    assert torch.isfinite(node.pointwise(projected)).all(1).logical_not().nonzero().tolist() == [[1, 0, 0]]


def RXOrPCA(case: LeafCase) -> Node:
    """A node that the case's leaf cannot be attached to."""
    needs_components = not any(
        isinstance(make(), cuvis_ai.anomaly.rx_detector.RXGlobal) for make in case.chain
    )
    return cuvis_ai.anomaly.rx_detector.RXGlobal() if needs_components else cuvis_ai.node.pca.TrainablePCA(2)


def test_metric_leaves_are_metrics() -> None:
    assert any(isinstance(case.make(), Metric) for case in LEAVES)
