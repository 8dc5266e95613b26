"""The learning rate from epoch to epoch: a function of the epoch, or of the loss that stalls."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from cuvis_ai.training.config import SchedulerConfig

logger = logging.getLogger(__name__)

_COUNTED = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")
"""The state of a plateau scheduler that no setting says."""


def rate_of_epoch(settings: SchedulerConfig, lr: float, epoch: int, max_epochs: int) -> float:
    """Return the learning rate of an epoch by the formulas of `SchedulerConfig`; of plateau, its first.

    Args:
        settings: the scheduler's.
        lr: the optimizer's rate.
        epoch: counted from 0.
        max_epochs: epochs of the run.
    """
    if epoch < settings.warmup_epochs:
        return lr * (epoch + 1) / (settings.warmup_epochs + 1)
    since, low = epoch - settings.warmup_epochs, settings.min_lr
    if settings.name == "cosine":
        share = since / (max_epochs - settings.warmup_epochs)
        return low + (lr - low) * (1 + math.cos(math.pi * share)) / 2
    if settings.name == "step":
        return max(low, lr * math.pow(settings.factor, since // settings.step_size))
    if settings.name == "exponential":
        return max(low, lr * math.pow(settings.factor, since / settings.step_size))
    return lr


class LearningRate:
    """Sets an optimizer's learning rate.

    Lightning saves a checkpoint before it steps a plateau scheduler of its own, which would make a resumed
    run differ; so this one is stepped, and its state held, by the module.

    Args:
        optimizer: whose rate is set.
        settings: the scheduler's.
        lr: the rate that the run starts from.
        max_epochs: epochs of the run.
        held: what `state` returned before, of a run that goes on.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        settings: SchedulerConfig,
        *,
        lr: float,
        max_epochs: int,
        held: Mapping[str, Any] | None = None,
    ) -> None:
        self._optimizer, self._settings, self._lr, self._max_epochs = optimizer, settings, lr, max_epochs
        self._plateau = ReduceLROnPlateau(
            optimizer, factor=settings.factor, patience=settings.patience, min_lr=settings.min_lr
        )
        if held is not None:  # its settings are those of now
            self._plateau.load_state_dict({key: held[key] for key in _COUNTED})

    @property
    def value(self) -> float:
        """The rate as it is."""
        return float(self._optimizer.param_groups[0]["lr"])

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold."""
        return dict(self._plateau.state_dict())

    def start_epoch(self, epoch: int) -> None:
        """Set the rate that an epoch starts with, where that is a function of the epoch."""
        warm = self._settings.warmup_epochs
        of_loss = self._settings.name == "plateau"
        if of_loss and (epoch > warm or not warm):
            return
        self._set(rate_of_epoch(self._settings, self._lr, epoch, self._max_epochs))

    def after_loss(self, total: float, epoch: int) -> None:
        """Reduce the rate if the loss has stalled; its best of the warm-up does not count."""
        if self._settings.name != "plateau" or epoch < self._settings.warmup_epochs:
            return
        before = self.value
        self._plateau.step(total)
        if self.value != before:
            logger.info("  Learning rate reduced from %g to %g", before, self.value)

    def _set(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
