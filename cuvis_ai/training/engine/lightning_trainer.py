"""Makes the Lightning `Trainer` that the settings describe."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from cuvis_ai.errors import ConfigError
from cuvis_ai.training.config import TrainerConfig
from cuvis_ai.training.engine.checkpoint_file import WholeFiles
from cuvis_ai.training.engine.progress import EpochProgressBar
from cuvis_ai.training.engine.resume import last_epoch_keeper


@contextmanager
def config_errors(*others: type[Exception]) -> Iterator[None]:
    """Turn what Lightning says of impossible settings into a `ConfigError`."""
    refused: tuple[type[Exception], ...] = (MisconfigurationException, *others)
    try:
        yield
    except refused as err:
        raise ConfigError(f"TrainerConfig: expected settings that Lightning takes, got: {err}") from err


_HANDED_ON = {one.name for one in fields(TrainerConfig)} - {"validate_start", "extra"}
"""The fields of `TrainerConfig` that Lightning's `Trainer` takes by the same name."""


def _limits(config: TrainerConfig, max_epochs: int) -> dict[str, Any]:
    """Return what limits a run, where nothing can be trained that of its one validation."""
    if max_epochs:
        return {"fast_dev_run": config.fast_dev_run, "num_sanity_val_steps": config.num_sanity_val_steps}
    limit = int(config.fast_dev_run) or config.limit_val_batches
    return {
        "fast_dev_run": False,
        "num_sanity_val_steps": 0,
        "limit_val_batches": limit,
        "max_steps": -1,
        "max_time": None,
    }


def may_stop_early(config: TrainerConfig) -> bool:
    """Return whether a run may end before its last epoch, or an epoch after its last validation."""
    others = any(not isinstance(one, ModelCheckpoint) for one in config.callbacks)
    return others or config.max_time is not None or ends_between_validations(config)


def ends_between_validations(config: TrainerConfig) -> bool:
    """Return whether the last step need not be the one before a validation."""
    return config.max_steps != -1 or config.max_time is not None or config.val_check_interval is not None


def make_trainer(config: TrainerConfig, *, max_epochs: int) -> Trainer:
    """Return a Lightning trainer that writes nothing unless a callback asks for it."""
    if strange := [one for one in config.callbacks if not isinstance(one, Callback)]:
        raise ConfigError(
            f"TrainerConfig: callbacks: expected Lightning callbacks, got {type(strange[0]).__name__}."
        )
    callbacks = [*config.callbacks, *last_epoch_keeper(config.callbacks)]
    if config.enable_progress_bar:
        callbacks.append(EpochProgressBar())
    extra = dict(config.extra)
    given = extra.pop("plugins", None) or []
    arguments: dict[str, Any] = {
        "logger": False,
        "enable_model_summary": False,
        **extra,
        **{name: getattr(config, name) for name in _HANDED_ON},
        **_limits(config, max_epochs),
        "max_epochs": max_epochs,
        "callbacks": callbacks,
        "plugins": [WholeFiles(callbacks), *(given if isinstance(given, list | tuple) else [given])],
    }
    if config.enable_checkpointing is None:
        arguments["enable_checkpointing"] = any(isinstance(c, ModelCheckpoint) for c in callbacks)
    with config_errors(TypeError, ValueError, AttributeError):
        return Trainer(**arguments)
