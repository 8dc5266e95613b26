"""The recorder: hands what a run logs to its monitors, and keeps their failures from the run."""

import io
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.errors import ConfigError
from cuvis_ai.leaf import Picture
from cuvis_ai.training.monitors.protocol import Monitor, WritesFiles
from cuvis_ai.training.monitors.records import (
    Drawn,
    Ending,
    Fact,
    Outline,
    Run,
    Scalar,
    Text,
    histogram_of,
)
from cuvis_ai.training.monitors.withholding import without

logger = logging.getLogger(__name__)


class Recorder:
    """Hands what is logged to every monitor.

    A monitor that raises is left out for the rest of the run, with one warning, and closed at the end, so
    that it lets go of its folder; the others go on.

    Args:
        monitors: who receives.
        active: False on all ranks but the first: nothing is recorded there.
        withheld: texts that no monitor is given, and what it gets instead.

    Example:
        >>> class Printed(Monitor):
        ...     def log_scalars(self, scalars):
        ...         print([scalar.name for scalar in scalars])
        >>> recorder = Recorder([Printed()])
        >>> recorder.scalars({"val/loss/total": 0.5}, "val", epoch=3, global_step=40, per_step=False)
        ['val/loss/total']
    """

    def __init__(
        self,
        monitors: Sequence[Monitor],
        *,
        active: bool = True,
        withheld: Mapping[str, str] | None = None,
    ) -> None:
        self.monitors = list(monitors) if active else []
        self._withheld = dict(withheld or {})
        self._failed: list[Monitor] = []
        self._last: dict[str, float] = {}
        self._start = time.perf_counter()

    @property
    def active(self) -> bool:
        """Whether anybody receives what is recorded."""
        return bool(self.monitors)

    def try_folders(self) -> None:
        """Try the folders of monitors that write files; nothing is moved.

        Raises:
            ConfigError: one cannot be written to.
        """
        for monitor in self.monitors:
            if issubclass(type(monitor), WritesFiles):  # an instance may have any name by __getattr__
                cast(WritesFiles, monitor).try_folder()

    def setup(self, run: Run) -> None:
        """Open all monitors.

        Raises:
            ConfigError: one cannot do what its settings ask for, such as write to its folder. Nothing is
                lost yet, so the run does not begin without it; those opened before are closed.
        """
        self._start = time.perf_counter()
        run = without(run, self._withheld)
        waiting, self.monitors = self.monitors, []
        try:
            for monitor in waiting:
                if self._told(monitor, lambda one: one.setup(run), refusal=ConfigError):
                    self.monitors.append(monitor)
        except ConfigError:
            self.close(failed=True)
            raise

    def scalars(
        self, values: Mapping[str, float], stage: str, *, epoch: int, global_step: int, per_step: bool
    ) -> None:
        """Record values of an epoch, or of a step."""
        rows = [
            Scalar(
                name=name,
                value=float(value),
                step=global_step if per_step else epoch,
                epoch=epoch,
                global_step=global_step,
                stage=stage,
            )
            for name, value in values.items()
        ]
        if not per_step:
            self._last |= {row.name: row.value for row in rows}
        if rows:
            self._tell(lambda monitor: monitor.log_scalars(rows))

    def figures(
        self, pictures: Iterable[tuple[str, Picture]], stage: str, *, epoch: int, global_step: int
    ) -> None:
        """Render pictures, each with the name of its leaf, clear their figures, and record them."""
        drawn = [
            one
            for leaf, picture in pictures
            if (one := _drawn(leaf, picture, stage, epoch=epoch, global_step=global_step)) is not None
        ]
        if drawn:
            self._tell(lambda monitor: monitor.log_figures(drawn))

    def histograms(self, values: Mapping[str, NDArray[Any]], *, epoch: int, global_step: int) -> None:
        """Count the values of each array, and record the histograms."""
        if not self.active:
            return
        counted = [
            histogram_of(name, array, epoch=epoch, global_step=global_step) for name, array in values.items()
        ]
        if counted:
            self._tell(lambda monitor: monitor.log_histograms(counted))

    def text(self, name: str, text: str) -> None:
        """Record a text in Markdown."""
        self._text(Text(name=name, text=text))

    def facts(self, name: str, facts: Mapping[str, Fact]) -> None:
        """Record facts, as a table in Markdown and as plain values."""
        listed = "\n".join(f"| {key} | {_shown(value)} |" for key, value in facts.items())
        self._text(Text(name=name, text=f"| fact | value |\n|---|---|\n{listed}", facts=dict(facts)))

    def _text(self, text: Text) -> None:
        titled = without(text, self._withheld)
        self._tell(lambda monitor: monitor.log_text(titled))

    def graph(self, outline: Outline) -> None:
        """Record the graph's structure."""
        shown = without(outline, self._withheld)
        self._tell(lambda monitor: monitor.log_graph(shown))

    def close(self, *, failed: bool = False, holds: str = "") -> None:
        """Close all monitors; `failed` says that an error ended the run, `holds` which state is left."""
        seconds = time.perf_counter() - self._start
        ending = Ending(values=dict(self._last), failed=failed, seconds=seconds, holds=holds)
        left_out, self._failed = self._failed, []
        for monitor in left_out:
            # It has had its warning.
            with suppress(Exception):
                monitor.close(ending)
        self._tell(lambda monitor: monitor.close(ending))

    def _tell(self, call: Callable[[Monitor], None]) -> None:
        self.monitors = [monitor for monitor in self.monitors if self._told(monitor, call)]

    def _told(
        self, monitor: Monitor, call: Callable[[Monitor], None], refusal: type[Exception] | tuple[()] = ()
    ) -> bool:
        """Call one monitor, and return whether it goes on."""
        try:
            call(monitor)
        except refusal:
            raise
        # Monitors reach for disks, servers and packages of others, and users write their own: nothing
        # that they raise is worth the hours of training that it would end. Interrupts pass.
        except Exception as err:
            self._failed.append(monitor)
            logger.warning(
                "%s failed and records no more of this run; training goes on. %s: %s",
                type(monitor).__name__,
                type(err).__name__,
                err,
            )
            return False
        return True


def _shown(value: Fact) -> str:
    # A line that ends within a cell, or a bar, would break the table.
    return f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).replace("|", "/").split())


def _drawn(leaf: str, picture: Picture, stage: str, *, epoch: int, global_step: int) -> Drawn | None:
    """Return the picture as a file, or None, with a warning, if it cannot be rendered."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes a second to import

    buffer = io.BytesIO()
    arrays = {name: np.asarray(array) for name, array in picture.data.items()}
    try:
        FigureCanvasAgg(picture.figure).print_png(buffer)  # type: ignore[no-untyped-call] # of Matplotlib
    # A figure of a user's own may fail in any way when it is rendered, such as on a formula in a label.
    except Exception as err:
        logger.warning("Picture `%s` of `%s` could not be rendered: %s", picture.name, leaf, err)
        return None
    finally:
        picture.figure.clear()
    if objects := [name for name, array in arrays.items() if array.dtype.hasobject]:
        logger.warning("Picture `%s` of `%s`: %s hold objects and are left out", picture.name, leaf, objects)
    return Drawn(
        leaf=leaf,
        picture=picture.name,
        png=buffer.getvalue(),
        data={name: array for name, array in arrays.items() if not array.dtype.hasobject},
        epoch=epoch,
        global_step=global_step,
        stage=stage,
    )
