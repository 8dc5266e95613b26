"""The check that no gradient is NaN or infinite, between a loss's backward pass and the optimizer's step."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer

from cuvis_ai.errors import NonFiniteLossError
from cuvis_ai.training.monitors.records import numbered


class FiniteGradients(Callback):
    """Stops training before a step with a gradient that is no number.

    A loss may be finite where its gradient is not: the root's at 0, an eigenvector's at equal eigenvalues.
    """

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Look at the gradients, before they are clipped.

        Under `16-mixed` an infinite gradient is Lightning's sign to lower the loss's scale and skip the step.
        """
        scaler: Any = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is None:
            where = f"epoch {numbered(trainer.current_epoch)}, step {trainer.global_step + 1}"
            raise_if_gradient_not_finite(pl_module.named_parameters(), where)


def raise_if_gradient_not_finite(named: Iterable[tuple[str, nn.Parameter]], where: str) -> None:
    """Raise a `NonFiniteLossError` that names the parameters whose gradient is not finite, if there are any.

    Args:
        named: parameters by their names.
        where: the epoch and step.
    """
    gradients = {name: one.grad for name, one in named if one.grad is not None}
    # Sums first: one number is fetched from the device, and what is not finite stays so.
    if not gradients or math.isfinite(sum(one.sum() for one in gradients.values())):
        return
    bad = [name for name, gradient in gradients.items() if not bool(torch.isfinite(gradient).all())]
    if not bad:  # large ones, whose sum overflows
        return
    raise NonFiniteLossError(
        f"{', '.join(f'`{name}`' for name in bad)}: gradient NaN or infinite in {where}, of losses that are "
        f"finite. Look for a root or a quotient at 0 in own losses and nodes, or lower the learning rate. "
        f"The weights are those from before the step."
    )
