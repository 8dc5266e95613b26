"""What signals do to a run: SIGTERM ends it as Ctrl-C does, SLURM's requeue saves between two steps."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from lightning.pytorch import Callback, Trainer

logger = logging.getLogger(__name__)

_REQUEUE: int = getattr(signal, "SIGUSR1", signal.SIGTERM)  # Windows has none, and no SLURM
_CHANGED = (signal.SIGINT, signal.SIGTERM, _REQUEUE)


class Signals(Callback):
    """Takes the place of Lightning's handlers, which wait for the next step and end with status 0.

    Under SLURM's automatic requeue, Lightning saves `hpc_ckpt_*.ckpt` at SIGUSR1 and means to outlive
    SIGTERM. Both stay so; but the checkpoint is written between two steps, from where a run can go on.
    """

    def __init__(self) -> None:
        self._callers: dict[int, Any] = {}
        self._trainer: Trainer | None = None
        self._save_and_requeue: Callable[[int, FrameType | None], Any] | None = None
        self._asked = False

    @contextmanager
    def handled(self, trainer: Trainer) -> Iterator[None]:
        """Handle signals inside; put the caller's handlers back in the end."""
        if threading.current_thread() is not threading.main_thread():  # Python allows handlers there alone
            yield
            return
        self._trainer = trainer
        self._callers = {number: signal.getsignal(number) for number in _CHANGED}
        self._take_over()
        try:
            yield
        finally:
            for number, handler in self._callers.items():
                if handler is not None:  # not set from Python
                    signal.signal(number, handler)
            self._callers, self._trainer = {}, None

    def _take_over(self, *args: Any, **kwargs: Any) -> None:
        """Set the handlers; again where Lightning has set its own."""
        if not self._callers:
            return
        requeue = signal.getsignal(_REQUEUE)
        ours = (self._callers[_REQUEUE], self._ask_for_requeue)
        if _REQUEUE != signal.SIGTERM and callable(requeue) and requeue not in ours:
            self._save_and_requeue = requeue
            signal.signal(_REQUEUE, self._ask_for_requeue)
        if self._callers[signal.SIGTERM] is not signal.SIG_IGN:
            signal.signal(signal.SIGTERM, self._end if self._save_and_requeue is None else _outlive)
        else:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    on_sanity_check_start = on_train_start = on_validation_start = on_test_start = _take_over

    def _end(self, number: int, frame: FrameType | None) -> NoReturn:
        """End this process and those that Lightning has started for further devices."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the end has begun
        assert self._trainer is not None
        logger.warning("SIGTERM: the run ends")
        if self._trainer.strategy.launcher is not None:
            self._trainer.strategy.launcher.kill(number)
        if callable(own := self._callers[signal.SIGTERM]):
            own(number, frame)
        raise SystemExit(128 + number)

    def _ask_for_requeue(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def after_step(self) -> None:
        """Save and requeue, if that was asked for since the last time."""
        if self._asked and self._save_and_requeue is not None:
            self._asked = False
            self._save_and_requeue(_REQUEUE, None)


def _outlive(number: int, frame: FrameType | None) -> None:
    logger.warning("SIGTERM: left to SLURM, which ends the job when it is requeued")
