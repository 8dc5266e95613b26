"""Which checkpoint a run goes on from, and where its own are written."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from cuvis_ai.errors import ConfigError
from cuvis_ai.paths import StrPath
from cuvis_ai.training.config import TrainerConfig
from cuvis_ai.training.engine.checkpoint_file import position_of, read_checkpoint
from cuvis_ai.training.monitors.records import numbered
from cuvis_ai.whole_file import make_writable

logger = logging.getLogger(__name__)

LAST = "last"
"""The `ckpt_path` that stands for the newest checkpoint of a run."""


def checkpoint_folders(config: TrainerConfig) -> list[Path]:
    """Return where the `ModelCheckpoint` callbacks write, as Lightning decides it."""
    root = Path(config.default_root_dir or ".") / "checkpoints"
    found = [Path(c.dirpath or root) for c in config.callbacks if isinstance(c, ModelCheckpoint)]
    found += [root] if config.enable_checkpointing and not found else []
    return [folder for folder in dict.fromkeys(found) if "://" not in str(folder)]


def check_checkpoint_folders(config: TrainerConfig) -> None:
    """Make the folders, and raise a `ConfigError` if one cannot be written to: before an epoch is spent."""
    for folder in checkpoint_folders(config):
        try:
            make_writable(folder)
        except OSError as err:
            raise ConfigError(
                f"ModelCheckpoint: expected a folder that can be written to, got {str(folder)!r} "
                f"({err.strerror}). Choose another `dirpath`, or correct its permissions."
            ) from err


def last_epoch_keeper(callbacks: Sequence[Callback]) -> list[Callback]:
    """Return a callback that keeps the last epoch, if one is asked to (`save_last`) that would not.

    With `monitor`, Lightning writes `last.ckpt` when that value improves, not at every epoch.
    """
    checkpoints = [c for c in callbacks if isinstance(c, ModelCheckpoint)]
    asked = next((c for c in checkpoints if c.save_last), None)
    if asked is None or any(c.monitor is None and c.every_n_epochs == 1 for c in checkpoints):
        return []
    return [ModelCheckpoint(dirpath=asked.dirpath, filename="last_epoch", save_on_train_epoch_end=True)]


def find_checkpoint(ckpt_path: StrPath | None, config: TrainerConfig) -> Path | None:
    """Return the checkpoint to go on from; for `last` the newest whole one, None if there is none yet.

    Without a path, a job that SLURM has requeued goes on from what was saved for it.

    Raises:
        ConfigError: `last`, and no `ModelCheckpoint` says where to look.
    """
    if ckpt_path is not None and os.fspath(ckpt_path) != LAST:
        return Path(ckpt_path)
    requeued = list(Path(config.default_root_dir or ".").glob("hpc_ckpt_*.ckpt"))
    if ckpt_path is None:
        return _newest_whole(requeued) if SLURMEnvironment.detect() else None
    folders = checkpoint_folders(config)
    if not folders and not requeued:
        raise ConfigError(
            "ckpt_path='last': expected a ModelCheckpoint among the callbacks, which says where checkpoints "
            "are kept, got none. Add ModelCheckpoint(dirpath=..., save_last=True), or name a file."
        )
    kept = [path for folder in folders for path in folder.glob("*.ckpt") if path.is_file()]
    newest = _newest_whole(dict.fromkeys([*kept, *requeued]))
    if newest is None:
        # As Lightning does: a script that is started again and again with `last` needs no other first start.
        logger.warning(
            "ckpt_path='last': no checkpoint in %s yet: training starts from the beginning",
            ", ".join(str(folder) for folder in folders),
        )
    return newest


def _newest_whole(files: Iterable[Path]) -> Path | None:
    """Return the newest checkpoint that a run can go on from; the log names those that are passed over."""
    for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            checkpoint = read_checkpoint(path)
        except ConfigError as err:
            logger.warning("%s Left out; looking for an earlier one.", err)
            continue
        if _is_between_steps(checkpoint):
            return path
        logger.warning("%s was written in the middle of a step. Left out; looking for an earlier one.", path)
    return None


def _is_between_steps(checkpoint: Mapping[str, Any]) -> bool:
    """Whether no step was under way, as it can be where an exception makes Lightning save."""
    batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
    return bool(batches["ready"] == batches["processed"])


def log_way_back(config: TrainerConfig, *, epoch: int) -> None:
    """Say how to go on with a run that was stopped in an epoch, counted from 0."""
    where = f"Training stopped in epoch {numbered(epoch, config.max_epochs)}"
    try:
        path = find_checkpoint(LAST, config)
    except ConfigError:
        path = None
    if path is None:
        logger.warning(
            "%s; no checkpoint was kept. With ModelCheckpoint(dirpath=..., save_last=True) among the "
            "callbacks, a run goes on from its last finished epoch.",
            where,
        )
        return
    done = position_of(read_checkpoint(path))[0]
    logger.warning('%s. To go on after %d finished epochs, pass ckpt_path="last" (%s).', where, done, path)
