"""The seam between a run and its monitors: the methods that a monitor has."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from cuvis_ai.training.monitors.records import Drawn, Ending, Histogram, Outline, Run, Scalar, Text


@runtime_checkable
class Monitor(Protocol):
    """Receives what a run logs; only the main process calls it.

    Anything that has these methods is a monitor. A class that derives from this one writes only those that
    it has a use for; the others do nothing. A monitor may also be `Locatable` and say which files
    it writes (`WritesFiles`).

    A monitor may raise whatever it likes: the recorder then warns once and leaves it out, and the run
    goes on. It is closed at the end all the same.

    Example:
        >>> class Printed(Monitor):
        ...     def log_scalars(self, scalars):
        ...         for scalar in scalars:
        ...             print(f"{scalar.name}: {scalar.value:.2f}")
        >>> row = Scalar(name="val/loss/total", value=0.5, step=3, epoch=3, global_step=40, stage="val")
        >>> Printed().log_scalars([row])
        val/loss/total: 0.50
    """

    def setup(self, run: Run) -> None:
        """Open whatever is written to; imports of optional packages belong here."""

    def log_scalars(self, scalars: Sequence[Scalar]) -> None:
        """Record values, all of one stage and step."""

    def log_figures(self, figures: Sequence[Drawn]) -> None:
        """Record pictures."""

    def log_histograms(self, histograms: Sequence[Histogram]) -> None:
        """Record distributions of weights and gradients."""

    def log_text(self, text: Text) -> None:
        """Record a text."""

    def log_graph(self, outline: Outline) -> None:
        """Record the graph's structure."""

    def close(self, ending: Ending) -> None:
        """Write what is pending and let go of it."""


@runtime_checkable
class WritesFiles(Protocol):
    """A monitor whose folder can be tried before a run, and whose files are moved aside by a later one."""

    def try_folder(self) -> None:
        """Raise a `ConfigError` if its folder cannot be written to."""

    def files(self) -> list[Path]:
        """Return the files, folders and patterns of files that it writes."""


@runtime_checkable
class Locatable(Protocol):
    """A monitor that can say where its output is."""

    def where(self) -> str | None:
        """Return one line for the end of `cuvis-ai train`; None where there is nothing to find."""
