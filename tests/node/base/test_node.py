"""What every node has of its bases: whether it is fitted, its channels, its label, its reset."""

from collections.abc import Iterator
from typing import ClassVar

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import GraphError, NotFittedError
from cuvis_ai.functional.affine import Affine
from cuvis_ai.node.base import (
    AffineNode,
    Node,
    check_channels,
    freeze,
    has_pointwise,
    mark_initialized,
    require_fitted,
    reset,
    structure_of,
)
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.stats import Structure


class Identity(Node):
    """The least that a node of a user's own needs."""

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        return cube


class Offset(Identity):
    """Says that it requires fitting, and neither names a state nor derives from `FittedNode`."""

    requires_initial_fit = True

    def initialize_from_data(self, cubes: Iterator[torch.Tensor]) -> None:
        self.offset = float(torch.cat(list(cubes)).mean())


class Scaled(AffineNode):
    """Multiplies each channel with a fitted factor."""

    state_shapes: ClassVar = {"factor": "c"}
    trained_names = ("factor",)
    factor: torch.Tensor

    def __init__(self, *, trainable: bool = True) -> None:
        super().__init__(trainable=trainable)

    def affine(self) -> Affine:
        zero = torch.zeros_like(self.factor)
        return Affine(self.factor, zero, zero)


def scaled(*factors: float, trainable: bool = True) -> Scaled:
    node = Scaled(trainable=trainable)
    node.set_state(factor=torch.tensor(factors))
    return node


# Fitted or not.


def test_a_node_without_state_is_fitted_from_the_start() -> None:
    node = Identity()
    assert node.fitted
    assert not node.requires_initial_fit
    require_fitted(node)


def test_a_node_with_state_is_fitted_once_all_of_it_is_set() -> None:
    node = Scaled()
    assert node.requires_initial_fit
    assert not node.fitted
    with pytest.raises(NotFittedError, match=r"^Scaled is not fitted yet\. Run `graph\.train"):
        node(torch.ones(1, 2, 1, 1))
    with pytest.raises(NotFittedError):
        node.prepare_for_train()
    node.set_state(factor=torch.ones(2))
    assert node.fitted
    reset(node)
    assert not node.fitted


def test_a_node_that_only_says_that_it_requires_fitting_stores_that_it_was_done() -> None:
    node, loaded = Offset(), Offset()
    assert not node.fitted
    node.initialize_from_data(iter([torch.ones(1, 2, 3, 4)]))
    mark_initialized(node, True)
    assert node.fitted
    loaded.load_state_dict(node.state_dict())
    assert loaded.fitted
    reset(node)
    assert not node.fitted
    mark_initialized(Identity(), True)  # which has nothing to mark


def test_a_node_that_requires_fitting_has_to_say_how() -> None:
    with pytest.raises(NotImplementedError, match="Scaled: .*`initialize_from_data` is not implemented"):
        Scaled().initialize_from_data(iter(()))


# Channels, names and structure.


def test_channels_that_leave_are_not_known_unless_a_node_says_so() -> None:
    assert Identity().out_channels(7) is None
    assert TrainablePCA(3).out_channels(7) == 3
    assert TrainablePCA(3).out_channels(None) == 3
    assert RXGlobal().out_channels(7) == 1


def test_a_wrong_number_of_channels_is_refused_with_node_numbers_and_remedy() -> None:
    node = scaled(1.0, 2.0)
    node.name = "mine"
    check_channels(node, 2, 2)
    with pytest.raises(GraphError) as raised:
        node(torch.ones(1, 3, 1, 1))
    assert str(raised.value) == (
        "Scaled `mine`: expected 2 channels (as initialised), got 3. Connect a node or pass a cube with 2 "
        "channels, or reset the statistics with `graph.reset()` and run the statistical phase again."
    )


def test_label_is_the_class_and_the_name_in_the_graph() -> None:
    node = TrainablePCA(3, trainable=True, orthogonal="hard")
    assert node.label == "TrainablePCA"
    node.set_state(components=torch.eye(3, 7), mean=torch.zeros(7))
    node.set_state(explained_variance=torch.ones(3), total_variance=torch.ones(1))
    node.prepare_for_train()
    node.name = "pca"
    assert node.label == "TrainablePCA `pca`", "torch gives a parametrized module a class of its own"


def test_repr_shows_the_constructor_arguments() -> None:
    assert repr(Scaled(trainable=False)) == "Scaled(trainable=False)"


def test_structure_is_opaque_unless_a_node_is_affine() -> None:
    assert structure_of(Identity()) is Structure.OPAQUE
    assert structure_of(Scaled()) is Structure.DENSE
    assert has_pointwise(RXGlobal())
    assert not has_pointwise(Scaled())


# Training.


@pytest.mark.parametrize("trainable", [True, False])
def test_trained_state_becomes_parameters_if_trainable_and_freezing_undoes_it(trainable: bool) -> None:
    node = scaled(1.0, 2.0, trainable=trainable)
    cube = torch.ones(1, 2, 1, 1)
    expected = node(cube)
    node.prepare_for_train()
    assert [name for name, _ in node.named_parameters()] == (["factor"] if trainable else [])
    assert torch.equal(node(cube), expected)
    freeze(node)
    assert not list(node.parameters())
    assert torch.equal(node(cube), expected)
