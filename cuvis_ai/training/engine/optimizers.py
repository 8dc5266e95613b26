"""The optimizer that the settings describe."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from cuvis_ai.training.config import OptimizerConfig

_OPTIMIZERS: dict[str, Callable[[OptimizerConfig], tuple[type[Optimizer], dict[str, Any]]]] = {
    "adam": lambda c: (Adam, {"betas": c.betas}),
    "adamw": lambda c: (AdamW, {"betas": c.betas}),
    "sgd": lambda c: (SGD, {"momentum": c.momentum}),
}


def optimizer_of(settings: OptimizerConfig, named: Iterable[tuple[str, nn.Parameter]]) -> Optimizer | None:
    """Return the optimizer of those parameters that require a gradient; None if none does.

    Weight decay shrinks the argument of a parametrization, which is no shrinking of the weights
    themselves: with it orthogonal components can collapse. So it is left out there.
    """
    trained = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in trained if "parametrizations." not in name]},
        {"params": [p for name, p in trained if "parametrizations." in name], "weight_decay": 0.0},
    ]
    if not trained:
        return None
    cls, extra = _OPTIMIZERS[settings.name](settings)
    return cls(
        [group for group in groups if group["params"]],
        lr=settings.lr, weight_decay=settings.weight_decay, **extra,  # type: ignore[call-arg]
    )  # fmt: skip
