"""Fitted state: set in its own dtype, turned into parameters and back, cleared, loaded."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from cuvis_ai.node.base.state import (
    UNFITTED,
    allocate,
    clear,
    plain_state,
    set_state,
    to_buffers,
    to_parameters,
)


class Doubled(nn.Module):
    """A parametrization: the value is twice the parameter."""

    def forward(self, half: torch.Tensor) -> torch.Tensor:
        return 2 * half

    def right_inverse(self, value: torch.Tensor) -> torch.Tensor:
        return value / 2


@pytest.fixture
def module() -> nn.Module:
    module = nn.Module()
    module.register_buffer("weight", torch.empty(0, dtype=torch.float64))
    module.register_buffer("mean", torch.empty(0))
    return module


def test_state_takes_any_shape_but_keeps_its_dtype_and_shares_no_memory(module: nn.Module) -> None:
    value = torch.ones(2, 3)
    set_state(module, weight=value)
    assert module.weight.dtype == torch.float64
    value.zero_()
    assert bool((module.weight == 1).all())
    set_state(module, weight=torch.ones(3, 2).T)
    assert module.weight.is_contiguous()


def test_a_parameter_that_is_set_stays_a_parameter(module: nn.Module) -> None:
    set_state(module, weight=torch.ones(2))
    to_parameters(module, ["weight"])
    module.weight.requires_grad_(False)
    set_state(module, weight=torch.zeros(3))
    assert isinstance(module.weight, nn.Parameter)
    assert not module.weight.requires_grad
    assert module.weight.tolist() == [0.0, 0.0, 0.0]


def test_setting_a_parametrized_value_ends_the_parametrization(module: nn.Module) -> None:
    set_state(module, weight=torch.ones(2))
    to_parameters(module, ["weight"])
    parametrize.register_parametrization(module, "weight", Doubled())
    set_state(module, weight=torch.full((2,), 5.0))
    assert not parametrize.is_parametrized(module)
    assert module.weight.tolist() == [5.0, 5.0]


def test_buffers_become_parameters_of_the_same_values_and_come_back(module: nn.Module) -> None:
    set_state(module, weight=torch.ones(2), mean=torch.zeros(2))
    to_parameters(module, ["weight"])
    assert [name for name, _ in module.named_parameters()] == ["weight"]
    same = module.weight
    to_parameters(module, ["weight"])
    assert module.weight is same, "a parameter is left as it is, with its optimizer's state"
    to_buffers(module, ["weight", "mean"])
    assert not list(module.parameters())
    assert module.weight.tolist() == [1.0, 1.0]


def test_freezing_a_parametrized_value_leaves_a_plain_buffer(module: nn.Module) -> None:
    set_state(module, weight=torch.ones(2))
    to_parameters(module, ["weight"])
    parametrize.register_parametrization(module, "weight", Doubled())
    assert "weight" not in module.state_dict()
    plain = plain_state(module, ["weight", "mean"])
    assert set(plain) == {"weight", "mean"}
    assert plain["weight"].tolist() == [1.0, 1.0]
    to_buffers(module, ["weight"])
    assert not list(module.parameters())
    assert set(module.state_dict()) == {"weight", "mean"}
    assert module.weight.tolist() == [1.0, 1.0]


def test_cleared_state_is_unfitted_and_keeps_its_dtype(module: nn.Module) -> None:
    set_state(module, weight=torch.ones(2), mean=torch.ones(2))
    clear(module, ["weight"])
    assert module.weight.shape == UNFITTED
    assert module.weight.dtype == torch.float64
    assert module.mean.shape == (2,)


def test_allocated_state_can_be_loaded(module: nn.Module) -> None:
    allocate(module, {"weight": (2, 3), "mean": (3,)})
    saved = {"weight": torch.ones(2, 3), "mean": torch.ones(3)}
    module.load_state_dict(saved)
    assert module.weight.dtype == torch.float64
    assert bool((module.weight == 1).all())
