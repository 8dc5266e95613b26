"""What an optimizer takes over from a checkpoint: its moments and the learning rate, if they fit."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cuvis_ai.errors import ConfigError
from cuvis_ai.training.config import OptimizerConfig
from cuvis_ai.training.engine.checkpoint_file import OF_A_CHANGED_FORM
from cuvis_ai.training.engine.optimizers import optimizer_of


def state_to_load(
    stored: Any,
    settings: OptimizerConfig,
    named: Iterable[tuple[str, nn.Parameter]],
    held: Mapping[str, str] | None,
) -> list[dict[str, Any]]:
    """Return the optimizer states to load: moments as stored, settings as they are now.

    The learning rate is the stored one, which the scheduler may have reduced, unless another is asked for.
    An optimizer of another class starts without a state.

    Args:
        stored: what the checkpoint holds.
        settings: the optimizer's.
        named: the parameters of the run, in its order.
        held: the settings of the checkpoint's run as text; None if it does not say.

    Raises:
        ConfigError: the state is not that of such an optimizer of these parameters.
    """
    if held is not None and held.get("optimizer.name") != repr(settings.name):
        return []
    like = _after_a_step(settings, named)
    try:
        [state] = stored
        groups = _matched_groups(state["param_groups"], like["param_groups"])
        for index, of_parameter in state["state"].items():
            _check_moments(of_parameter, like["state"][index], index)
    except OF_A_CHANGED_FORM as err:
        raise ConfigError(
            f"ckpt_path: expected the state of {settings.name} for the parameters of this graph, got "
            f"another: {err!r:.300}"
        ) from err
    if held is None or held.get("optimizer.lr") == repr(settings.lr):
        return [{"state": state["state"], "param_groups": [{**own, "lr": rate} for own, rate in groups]}]
    return [{"state": state["state"], "param_groups": [own for own, _ in groups]}]


def _after_a_step(settings: OptimizerConfig, named: Iterable[tuple[str, nn.Parameter]]) -> dict[str, Any]:
    """Return the state of such an optimizer of copies of the parameters, all of whose moments are there."""
    copies = [(name, nn.Parameter(torch.zeros_like(p))) for name, p in named if p.requires_grad]
    optimizer = optimizer_of(replace(settings, momentum=settings.momentum or 0.5), copies)
    if optimizer is None:
        raise ConfigError("ckpt_path: expected a graph with something to train, got none.")
    for _, parameter in copies:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        if "momentum" in group:
            group["momentum"] = settings.momentum
    return copy.deepcopy(state)


def _matched_groups(
    stored: Sequence[Mapping[str, Any]], own: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], float]]:
    """Return this run's groups of parameters, each with the learning rate that is stored for it."""
    if [list(group["params"]) for group in stored] != [list(group["params"]) for group in own]:
        raise ValueError("other parameters")
    rates = [group["lr"] for group in stored]
    if not all(isinstance(rate, float) and 0 <= rate < float("inf") for rate in rates):
        raise ValueError(f"learning rates {rates!r:.100}")
    return list(zip(own, rates, strict=True))


def _check_moments(stored: Mapping[str, Any], own: Mapping[str, Any], index: int) -> None:
    """Raise a `ValueError` unless a parameter's moments are those of such an optimizer."""
    if stored and stored.keys() != own.keys():
        raise ValueError(f"parameter {index}: {', '.join(map(str, stored)):.100}")
    for name, value in stored.items():
        if value is None and name == "momentum_buffer":  # plain gradient descent keeps its place
            continue
        fits = isinstance(value, Tensor) and value.shape == own[name].shape and value.is_floating_point()
        squares = name in ("step", "exp_avg_sq")
        if not fits or not bool(value.isfinite().all()) or (squares and bool((value < 0).any())):
            raise ValueError(f"parameter {index}: {name}")
