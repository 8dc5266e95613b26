"""A monitor that hands a run's values to one of Lightning's loggers: MLflow, Comet, Neptune, CSV files."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from cuvis_ai.errors import ConfigError
from cuvis_ai.training.monitors.protocol import Monitor
from cuvis_ai.training.monitors.records import Ending, Run, Scalar, Text

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

_SECRETS = ("key", "token", "password", "secret")


class LoggerMonitor(Monitor):
    """Logs values, settings and facts about the data through a logger of Lightning's.

    Each value is logged under its name over its step: the epoch of a value of an epoch, the global step of a
    value of a step. Loggers have no common method for pictures; `DummyMonitor` beside it writes these.

    Args:
        logger: a logger, or the name of one of `lightning.pytorch.loggers`, of which each run gets its own.
        arguments: its arguments, where it is given by name; keys of accounts are left to the environment.

    Raises:
        ConfigError: Lightning has no logger of that name, `arguments` hold a key, or do not go with a logger
            that is made already.

    Example:
        >>> from cuvis_ai.pipeline.graph import Graph
        >>> graph = Graph("rx")
        >>> graph.register_monitor(LoggerMonitor("CSVLogger", {"save_dir": "outputs", "name": "rx"}))
        >>> [monitor.logger for monitor in graph.monitors]
        ['CSVLogger']
    """

    _active: "Logger"
    """From `setup` to `close`."""

    def __init__(self, logger: "Logger | str", arguments: Mapping[str, Any] | None = None) -> None:
        self.logger = logger
        self.arguments = dict(arguments or {})
        if secret := [name for name in self.arguments if name.lower().rpartition("_")[2] in _SECRETS]:
            raise ConfigError(
                f"LoggerMonitor: expected `arguments` without keys of accounts, got `{secret[0]}`. Set the "
                "variable of the environment that the tracker reads."
            )
        if isinstance(logger, str):
            _named(logger)
        elif self.arguments:
            raise ConfigError(
                f"LoggerMonitor: expected `arguments` with the name of a logger, got them with {logger!r}. "
                "Give them to the logger itself."
            )

    @override
    def setup(self, run: Run) -> None:
        made = _named(self.logger)(**self.arguments) if isinstance(self.logger, str) else self.logger
        self._active = made
        made.log_hyperparams(dict(run.settings))

    @override
    def log_scalars(self, scalars: Sequence[Scalar]) -> None:
        for step in dict.fromkeys(scalar.step for scalar in scalars):
            self._active.log_metrics({one.name: one.value for one in scalars if one.step == step}, step=step)

    @override
    def log_text(self, text: Text) -> None:
        if text.facts:
            self._active.log_hyperparams({text.name: dict(text.facts)})

    @override
    def close(self, ending: Ending) -> None:
        self._active.save()
        self._active.finalize("failed" if ending.failed else "success")


def _named(name: str) -> "type[Logger]":
    """Return the logger of Lightning's that has a name."""
    from lightning.pytorch import loggers

    found = {one: vars(loggers)[one] for one in loggers.__all__ if one != "Logger"}
    if name not in found:
        raise ConfigError(f"LoggerMonitor: expected `logger` among {', '.join(found)}, got {name!r}.")
    logger: type[Logger] = found[name]
    return logger
