"""Constructor arguments are read back from attributes, and checked in one form."""

import pytest
import torch
from torch.nn.utils import parametrize

from cuvis_ai.errors import ConfigError
from cuvis_ai.node.base.arguments import class_of, hyperparameters, is_whole, require
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.training.losses import OrthogonalityLoss

ARGUMENTS = {
    "n_components": 2,
    "trainable": True,
    "whiten": True,
    "eps": 0.5,
    "orthogonal": "hard",
    "at_most": False,
}


def trained() -> TrainablePCA:
    node = TrainablePCA(**ARGUMENTS)
    node.set_state(components=torch.eye(2, 3), mean=torch.zeros(3))
    node.set_state(explained_variance=torch.ones(2), total_variance=torch.ones(1))
    node.prepare_for_train()
    return node


def test_arguments_are_those_of_the_constructor_by_name_and_in_its_order() -> None:
    assert list(hyperparameters(TrainablePCA(**ARGUMENTS)).items()) == list(ARGUMENTS.items())
    assert hyperparameters(OrthogonalityLoss(weight=2.0)) == {"weight": 2.0}


def test_arguments_are_the_current_values() -> None:
    node = TrainablePCA(2)
    node.trainable = True
    assert hyperparameters(node)["trainable"] is True


def test_class_and_arguments_of_a_parametrized_node_are_its_own() -> None:
    node = trained()
    assert parametrize.is_parametrized(node)
    assert type(node) is not TrainablePCA
    assert class_of(node) is TrainablePCA
    assert hyperparameters(node) == ARGUMENTS


def test_refusals_name_place_expectation_value_and_remedy() -> None:
    require(True, "Node: k", "1 or more", 0)
    with pytest.raises(ConfigError) as raised:
        require(False, "Node: k", "1 or more", 0)
    assert str(raised.value) == "Node: k: expected 1 or more, got 0."
    with pytest.raises(ConfigError) as raised:
        require(False, "Node: mode", "'a' or 'b'", "c", "Take one of them.")
    assert str(raised.value) == "Node: mode: expected 'a' or 'b', got 'c'. Take one of them."


def test_whole_numbers_are_told_by_their_type() -> None:
    """A count of 3.0 would end in an error of torch after the pass over the data."""
    assert [value for value in (3, 0, -1, 3.0, 2.5, True, "3", None) if is_whole(value)] == [3, 0, -1]
