"""Which pictures are drawn when: collects validation batches for them and hands them to the recorder."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from cuvis_ai.execution.execution import Evaluation, Execution
from cuvis_ai.execution.topology import Point
from cuvis_ai.leaf.bases import Picture, Read, View, Visualization
from cuvis_ai.training.engine.epoch import Hung
from cuvis_ai.training.monitors import Recorder

logger = logging.getLogger(__name__)

BUDGET = 500
"""Pictures of a run."""


class Pictures:
    """Draws the pictures of a run's validation epochs.

    A leaf draws in the first epoch, in every `log_frequency`-th after it, and in the last. A run that
    may stop before its last epoch collects in every epoch, so that `close` can draw the one that
    turned out to be the last. Once the budget is used up but for a last drawing, only that follows.

    Args:
        execution: how the nodes are evaluated.
        hung: the leaves.
        recorder: where the pictures go; if nobody listens, nothing is collected.
        may_stop_early: whether the run may end before its last epoch.
        budget: pictures of the run.

    Attributes:
        read_data: whether any leaf reads cubes.
    """

    def __init__(
        self,
        execution: Execution,
        hung: Iterable[Hung[Visualization]],
        recorder: Recorder,
        *,
        may_stop_early: bool = False,
        budget: int = BUDGET,
    ) -> None:
        self.execution = execution
        self.recorder = recorder
        everywhere = list(hung)
        # The same on every rank, so that all ranks go through the same batches.
        self.read_data = any(one.leaf.reads() for one in everywhere)
        self.hung = everywhere if recorder.active else []
        self.may_stop_early = may_stop_early
        self.left = budget
        self._validations = 0
        self._per_drawing: dict[int, int] = {}
        self._collecting: list[Hung[Visualization]] = []
        self._due: list[Hung[Visualization]] = []
        self._undrawn: list[Hung[Visualization]] = []
        self._when = ("val", 0, 0)

    def start(self, *, last: bool) -> None:
        """Start a validation epoch; `last` says that none will follow."""
        self._due = [one for one in self.hung if last or self._is_due(one)]
        self._collecting = self.hung if self.may_stop_early else self._due
        self._validations += 1
        for one in self._collecting:
            one.leaf.reset()

    def _is_due(self, one: Hung[Visualization]) -> bool:
        if self._validations == 0:
            return True
        # What the last epoch will draw is kept back.
        reserve = sum(self._per_drawing.values())
        enough = self.left - self._per_drawing.get(id(one), 1) >= reserve
        return enough and self._validations % one.leaf.log_frequency == 0

    def points(self) -> tuple[Point, ...]:
        """Where the leaves that collect in this epoch read."""
        places = (point for one in self._collecting for point in self._places(one).values())
        return tuple(dict.fromkeys(places))

    def _places(self, one: Hung[Visualization]) -> dict[Read, Point]:
        topology = self.execution.topology
        places: dict[Read, Point] = {}
        for read in one.leaf.reads():
            if read is Read.INPUT:
                places[read] = topology.input_of(one.parent)
            elif read is Read.OUTPUT:
                places[read] = (one.parent,)
            elif read is Read.ENCODER_INPUT:
                places[read] = topology.input_of(topology.references[one.parent][0])
        return places

    @torch.no_grad()
    def collect(self, evaluation: Evaluation | None, batch: Mapping[str, Any]) -> None:
        """Show a batch to the leaves; without an evaluation, to those that read weights alone."""
        for one in self._collecting:
            places = self._places(one)
            if places and evaluation is None:
                continue
            values = {read: evaluation.values[point] for read, point in places.items() if evaluation}
            values |= {
                read: batch[key]
                for read, key in ((Read.MASK, "mask"), (Read.LABELS, "labels"))
                if batch.get(key) is not None
            }
            valid = None if evaluation is None else evaluation.valid
            one.leaf.collect(View(self.execution.nodes[one.parent], values, valid), batch)

    def finish(self, stage: str, *, epoch: int, global_step: int) -> None:
        """Draw what is due at the end of a validation epoch."""
        self._when = (stage, epoch, global_step)
        self._undrawn = [one for one in self._collecting if one not in self._due]
        self._draw(self._due)
        self._collecting = []

    def close(self) -> None:
        """Draw the last epoch's pictures, if the run ended there without having said so before."""
        self._draw(self._undrawn)
        self._undrawn = []

    def _draw(self, hung: list[Hung[Visualization]]) -> None:
        stage, epoch, global_step = self._when
        drawn: list[tuple[str, Picture]] = []
        for one in hung:
            pictures = self._pictures(one)
            self._per_drawing[id(one)] = len(pictures)
            self.left -= len(pictures)
            drawn += [(one.leaf.name or type(one.leaf).__name__, picture) for picture in pictures]
        self.recorder.figures(drawn, stage, epoch=epoch, global_step=global_step)
        for one in hung:
            one.leaf.reset()

    def _pictures(self, one: Hung[Visualization]) -> list[Picture]:
        try:
            return one.leaf.draw()
        # Drawing runs Matplotlib and, in leaves of users, anything: a picture that fails is worth a
        # warning, not the run.
        except Exception as err:
            logger.warning("%s could not draw: %s: %s", one.leaf.label, type(err).__name__, err)
            return []
