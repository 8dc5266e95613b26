"""The fitted state of a module: buffers, and parameters while they are trained."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

UNFITTED = torch.Size([0])
"""Shape of a buffer that fitting has not filled yet."""


def set_state(module: nn.Module, **state: Tensor) -> None:
    """Set buffers or parameters, of any shape, in their own dtype, on their own device; and their rests."""
    for name, value in {**_rests(module, state), **state}.items():
        _set(module, name, value)


@torch.inference_mode(False)  # what is made within Lightning's validation could not be written to afterwards
def _set(module: nn.Module, name: str, value: Tensor) -> None:
    if parametrize.is_parametrized(module, name):
        parametrize.remove_parametrizations(module, name)
    old = getattr(module, name)
    new = value.detach().to(old.device, old.dtype).contiguous().clone()
    if isinstance(old, nn.Parameter):
        module.register_parameter(name, nn.Parameter(new, requires_grad=old.requires_grad))
    else:
        module.register_buffer(name, new)


REST = "_rest"
"""Ends the name of the state that holds what another one was rounded by: `mean_rest` beside `mean`."""


def _rests(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what values are rounded by in a module, by the names of the state that holds it."""
    kept = [name for name in state if name + REST in module._buffers]
    return {
        name + REST: state[name].double() - state[name].to(getattr(module, name).dtype).double()
        for name in kept
    }


def without_rests(module: nn.Module, stored: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return zeros for those rests of a module that a stored state, of before there were any, lacks."""
    ends = len(REST)
    return {
        prefix + name: torch.zeros_like(stored[prefix + name[:-ends]])
        for name in module._buffers
        if name.endswith(REST) and prefix + name not in stored and prefix + name[:-ends] in stored
    }


def allocate(module: nn.Module, shapes: Mapping[str, Sequence[int]]) -> None:
    """Allocate a fitted state of these shapes, before it is loaded; rests as well as what is rounded."""
    shapes = {**{name + REST: s for name, s in shapes.items() if name + REST in module._buffers}, **shapes}
    set_state(module, **{name: torch.zeros(tuple(shape)) for name, shape in shapes.items()})


def clear(module: nn.Module, names: Iterable[str]) -> None:
    """Return state to its unfitted form."""
    for name in names:
        old = getattr(module, name)
        module.register_buffer(name, torch.empty(0, dtype=old.dtype, device=old.device))


def to_parameters(module: nn.Module, names: Iterable[str]) -> None:
    """Turn buffers into parameters of the same values."""
    for name in names:
        value = getattr(module, name)
        if not (isinstance(value, nn.Parameter) or parametrize.is_parametrized(module, name)):
            delattr(module, name)
            module.register_parameter(name, nn.Parameter(value.detach().clone()))


def to_buffers(module: nn.Module, names: Iterable[str]) -> None:
    """Turn parameters back into buffers of the same values; undoes `to_parameters` and parametrizations."""
    for name in names:
        if parametrize.is_parametrized(module, name):
            parametrize.remove_parametrizations(module, name)
        value = getattr(module, name)
        if isinstance(value, nn.Parameter):
            delattr(module, name)
            module.register_buffer(name, value.detach().clone())


def plain_state(module: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the state dict, with the value of a parametrized parameter under its own name.

    Args:
        module: the module.
        names: its fitted state.
    """
    state = {key: v for key, v in module.state_dict().items() if not key.startswith("parametrizations.")}
    return state | {name: getattr(module, name).detach() for name in names if name not in state}
