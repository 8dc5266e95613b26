"""Which pictures are drawn when: collects validation batches for them and hands them to the recorder."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from cuvis_ai.execution.execution import Execution
from cuvis_ai.leaf import Picture, Visualization
from cuvis_ai.leaf.bases import Attached
from cuvis_ai.leaf.observer import Observed, Observer
from cuvis_ai.leaf.reading import Evaluation, view_of
from cuvis_ai.stats import Sketch
from cuvis_ai.training.engine.epoch import observed_by, points_read, sketches_of
from cuvis_ai.training.monitors import Recorder
from cuvis_ai.types import Point

logger = logging.getLogger(__name__)

BUDGET = 500
"""Pictures of a run."""

_Drawable = tuple[Attached[Visualization], dict[str, Sketch]]


class Pictures:
    """Draws the pictures of a run's validation epochs.

    A leaf draws in the first epoch, in every `log_frequency`-th after it, and in the last. A run that
    may stop before its last epoch collects in every epoch, so that `close` can draw the one that
    turned out to be the last. Once the budget is used up but for a last drawing, only that follows.

    Args:
        execution: how the nodes are evaluated.
        attached: the leaves.
        recorder: where the pictures go; on a rank where it is not active, nothing is collected.
        ranks: processes of the run.
        may_stop_early: whether the run may end before its last epoch.
        budget: pictures of the run.

    Attributes:
        read_data: whether any leaf reads cubes.
    """

    def __init__(
        self,
        execution: Execution,
        attached: Iterable[Attached[Visualization]],
        recorder: Recorder,
        *,
        ranks: int = 1,
        may_stop_early: bool = False,
        budget: int = BUDGET,
    ) -> None:
        self.execution = execution
        self.recorder = recorder
        self.attached = list(attached)
        # The same on every rank, so that all ranks go through the same batches.
        self.read_data = any(one.leaf.reads() or one.leaf.observes() for one in self.attached)
        self.ranks = ranks
        self.may_stop_early = may_stop_early
        self.left = budget
        self._validations = 0
        self._per_drawing: dict[int, int] = {}
        self._collecting: list[Attached[Visualization]] = []
        self._due: list[Attached[Visualization]] = []
        self._undrawn: list[_Drawable] = []
        self._when = ("val", 0, 0)
        self._observed: dict[int, dict[str, Observed]] = {}

    def start(self, observer: Observer, *, last: bool) -> None:
        """Start a validation epoch, whose sketches `observer` takes; `last` says that none will follow."""
        self._due = [one for one in self.attached if last or self._is_due(one)]
        collecting = self.attached if self.may_stop_early else self._due
        self._collecting = collecting if self.recorder.active else []
        self._validations += 1
        # Ranks put sketches together, but the first alone knows how many pictures are left to draw.
        observing = self._collecting if self.ranks == 1 else self.attached
        self._observed = {
            id(one): observed_by(observer, one.leaf.observes(), one.parent, self.execution)
            for one in observing
        }
        for one in self._collecting:
            one.leaf.reset()

    def _is_due(self, one: Attached[Visualization]) -> bool:
        if self._validations == 0:
            return True
        # Reserved: what the last epoch will draw.
        reserve = sum(self._per_drawing.values())
        enough = self.left - self._per_drawing.get(id(one), 1) >= reserve
        return enough and self._validations % one.leaf.log_frequency == 0

    def points(self) -> tuple[Point, ...]:
        """Where the leaves that collect in this epoch read, besides what they observe."""
        return points_read(self._collecting, self.execution)

    @torch.no_grad()
    def collect(self, evaluation: Evaluation | None, batch: Mapping[str, Any]) -> None:
        """Show a batch to the leaves; without an evaluation, to those that read weights alone."""
        for one in self._collecting:
            reads = one.leaf.reads()
            if evaluation is not None or not reads:
                one.leaf.collect(view_of(reads, one.parent, self.execution, evaluation, batch), batch)

    def finish(self, observer: Observer, stage: str, *, epoch: int, global_step: int) -> None:
        """Draw what is due at the end of a validation epoch."""
        self._when = (stage, epoch, global_step)
        drawable = [(one, sketches_of(observer, self._observed[id(one)])) for one in self._collecting]
        self._undrawn = [pair for pair in drawable if pair[0] not in self._due]
        self._draw([pair for pair in drawable if pair[0] in self._due])
        self._collecting = []

    def close(self) -> None:
        """Draw the last epoch's pictures, if the run ended there without having said so before."""
        self._draw(self._undrawn)
        self._undrawn = []

    def _draw(self, drawable: list[_Drawable]) -> None:
        stage, epoch, global_step = self._when
        drawn: list[tuple[str, Picture]] = []
        for one, sketches in drawable:
            pictures = self._pictures(one, sketches)
            self._per_drawing[id(one)] = len(pictures)
            self.left -= len(pictures)
            drawn += [(one.leaf.name or type(one.leaf).__name__, picture) for picture in pictures]
        self.recorder.figures(drawn, stage, epoch=epoch, global_step=global_step)
        for one, _ in drawable:
            one.leaf.reset()

    def _pictures(self, one: Attached[Visualization], sketches: Mapping[str, Sketch]) -> list[Picture]:
        try:
            return one.leaf.draw(one.parent, sketches)
        # Drawing runs Matplotlib and, in leaves of users, anything: a picture that fails is worth a
        # warning, not the run.
        except Exception as err:
            logger.warning("%s could not draw: %s: %s", one.leaf.label, type(err).__name__, err)
            return []
