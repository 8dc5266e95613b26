"""The progress bar of the gradient phase: `Epoch 1/10: 100%|████| 270/270 [00:15<00:00, 17.2it/s]`."""

import sys
import time
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.trainer.states import TrainerFn
from tqdm.auto import tqdm


@runtime_checkable
class KnowsItsLoss(Protocol):
    """A module that can say how its epoch stands."""

    def running_loss(self) -> float:
        """Return the mean of the total loss over the epoch so far."""


class EpochProgressBar(ProgressBar):
    """One line an epoch, epochs counted from 1 out of all; a line of its own for a validation or test run.

    The loss is the mean of the epoch so far (of the first rank's share), from the first batch on.
    Where the output is no terminal, each line is written when it is begun and when it is done. Lightning's
    `TQDMProgressBar` writes one after each batch, and ends it after the values of a validation.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm[Any] = tqdm(disable=True)
        self._enabled = True
        self._shown = 0.0

    def enable(self) -> None:
        """Show bars."""
        self._enabled = True

    def disable(self) -> None:
        """Show none, as on ranks other than 0."""
        self._enabled = False

    def _open(self, title: str, total: float) -> None:
        self._close()
        self._bar = tqdm(
            total=None if total == float("inf") else int(total),
            desc=title,
            file=sys.stdout,
            disable=not self._enabled,
            mininterval=0.1 if sys.stdout.isatty() else float("inf"),
            dynamic_ncols=True,
        )

    def _advance(self, *args: Any, **kwargs: Any) -> None:
        self._bar.update()

    def _close(self, *args: Any, **kwargs: Any) -> None:
        self._bar.close()

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        """Open the epoch's bar."""
        self._shown = float("-inf")
        self._open(f"Epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", trainer.num_training_batches)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Advance, with the epoch's loss so far."""
        now = time.monotonic()
        # Asked only where it will be seen: on a device, the host waits for the answer.
        due = trainer.is_last_batch or now - self._shown >= self._bar.mininterval
        if due and self._enabled and isinstance(pl_module, KnowsItsLoss):
            self._shown = now
            self._bar.set_postfix_str(f"loss={pl_module.running_loss():.4g}", refresh=False)
        self._advance()

    def on_validation_start(self, trainer: Trainer, *args: Any) -> None:
        """Close the epoch's bar; open one for a validation that is not part of training."""
        self._close()
        if trainer.state.fn != TrainerFn.FITTING:
            self._open("Validation", sum(trainer.num_val_batches))

    def on_test_start(self, trainer: Trainer, *args: Any) -> None:
        """Open the bar of a test run."""
        self._open("Test", sum(trainer.num_test_batches))

    # A bar that is closed, as the epoch's is in a validation, advances no more.
    on_validation_batch_end = on_test_batch_end = _advance
    # Before the values are printed.
    on_train_epoch_end = on_validation_epoch_end = on_test_epoch_end = on_exception = _close
