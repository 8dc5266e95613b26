"""What is optimized, and the optimizer that the settings describe."""

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import freeze
from cuvis_ai.training.config import OptimizerConfig

logger = logging.getLogger(__name__)

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


def prepare_nodes(execution: Execution, reached: Collection[str]) -> None:
    """Turn the fitted state of trainable nodes into parameters; nodes that no loss depends on stay frozen.

    Args:
        execution: the graph's nodes.
        reached: names of the nodes that some loss depends on.
    """
    logger.info("Phase 2: Preparing trainable nodes...")
    for name, node in execution.nodes.items():
        if not node.trainable:
            continue
        node.prepare_for_train()
        if name not in reached:
            logger.warning("  %s is trainable, but no loss depends on it: it stays frozen", node.label)
            freeze(node)
            continue
        parts = ", ".join(key for key, _ in node.named_parameters())
        logger.info("  Converting %s of %s to nn.Parameters", parts, node.label)
