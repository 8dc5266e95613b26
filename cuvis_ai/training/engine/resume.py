"""Going on from a checkpoint: which one, what it holds besides the weights, and how it is written."""

import io
import logging
import os
import random
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn

from cuvis_ai.errors import ConfigError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base.state import allocate as allocate_state
from cuvis_ai.training.config import TrainerConfig

logger = logging.getLogger(__name__)

LAST = "last"
"""The `ckpt_path` that stands for the newest checkpoint of a run."""


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place, then renames it: at any moment the old or the new file is there.

    Lightning's own way goes through the system's folder for temporary files. Where that is another file
    system, the file is then copied over the old one, which a full disk or a kill leaves in pieces.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a file, through to the disk.

        Raises:
            OSError: it could not be written; what was there before is as it was.
        """
        if "://" in str(path):  # a bucket, which has no renaming and replaces objects as a whole
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target, part = Path(path), Path(f"{path}.part")
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except OSError as err:
            part.unlink(missing_ok=True)
            reason = f"the checkpoint could not be written, the one before is whole: {err.strerror}"
            raise OSError(err.errno, reason, str(target)) from err


def checkpoint_folders(config: TrainerConfig) -> list[Path]:
    """Return where the `ModelCheckpoint` callbacks write, as Lightning decides it."""
    root = Path(config.default_root_dir or ".") / "checkpoints"
    found = [Path(c.dirpath or root) for c in config.callbacks if isinstance(c, ModelCheckpoint)]
    return [folder for folder in dict.fromkeys(found) if "://" not in str(folder)]


def check_checkpoint_folders(config: TrainerConfig) -> None:
    """Make the folders, and raise a `ConfigError` if one cannot be written to: before an epoch is spent."""
    for folder in checkpoint_folders(config):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
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


def find_checkpoint(ckpt_path: str | Path | None, config: TrainerConfig) -> Path | None:
    """Return the checkpoint to go on from; for `last` the newest whole one, None if there is none yet.

    Without a path, a job that SLURM has requeued goes on from what was saved for it.

    Raises:
        ConfigError: `last`, and no `ModelCheckpoint` says where to look.
    """
    if ckpt_path is not None and str(ckpt_path) != LAST:
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


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint file holds; its tensors are read when they are used.

    Raises:
        ConfigError: there is no such file, it is damaged, or nothing can go on from it.
    """
    try:
        checkpoint: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError as err:
        raise ConfigError(
            f"ckpt_path: expected a checkpoint file, got {str(path)!r}, which does not exist."
        ) from err
    except Exception as err:  # a damaged or hostile file can fail in any way
        raise ConfigError(
            f"ckpt_path: expected a checkpoint of tensors and plain values, got {str(path)!r}, which is "
            f"damaged or asks for code to be run ({type(err).__name__}). No code was run."
        ) from err
    needed = {"cuvis_ai", "epoch", "loops", "optimizer_states", "state_dict"}
    if not isinstance(checkpoint, dict) or not needed <= checkpoint.keys():
        raise ConfigError(
            f"ckpt_path: expected a checkpoint that `graph.train` can go on from, got {str(path)!r}, which "
            "holds weights alone or is of another program."
        )
    try:
        _check_forms(checkpoint)
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        done = batches["current"]["completed"] == batches["current"]["processed"]
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise ConfigError(
            f"ckpt_path: expected a Lightning checkpoint, got {str(path)!r}, which is changed: {err!r}"
        ) from err
    if batches["is_last_batch"] and not done:
        # Lightning would begin with the next epoch: without this one's validation, values and scheduler step.
        raise ConfigError(
            f"ckpt_path: expected a checkpoint that Lightning can go on from, got {str(path)!r}, which was "
            "written between the last step of an epoch and its end. Take another one."
        )
    return checkpoint


def _check_forms(checkpoint: Mapping[str, Any]) -> None:
    """Raise what comes of it if a part of a checkpoint has another form than Lightning gives it."""
    if not isinstance(checkpoint["epoch"], int):
        raise TypeError(f"epoch: expected a number, got {checkpoint['epoch']!r}")
    position_of(checkpoint)
    for name, tensor in checkpoint["state_dict"].items():
        # A stride of 0 gives any shape to a few stored bytes.
        if not isinstance(tensor, Tensor) or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise ValueError(f"{name}: expected a tensor as large as it says")


def position_of(checkpoint: Mapping[str, Any]) -> tuple[int, int]:
    """Return the first epoch, counted from 0, that was not finished, and the optimizer steps so far."""
    loop = checkpoint["loops"]["fit_loop"]
    return int(loop["epoch_progress"]["current"]["processed"]), int(checkpoint["global_step"])


def allocate(execution: Execution, leaves: nn.ModuleDict, checkpoint: Mapping[str, Any]) -> None:
    """Let nodes take the shapes that a checkpoint holds, which makes them fitted, and leaves their values."""
    stored = checkpoint["state_dict"]
    prefix = "leaves."
    of_leaves = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    try:
        leaves.load_state_dict(of_leaves)
    except RuntimeError as err:
        raise ConfigError(f"ckpt_path: the checkpoint is of a graph with other leaves: {err}") from err
    for name, node in execution.nodes.items():
        # A parametrized weight is stored as its argument, of the same shape.
        places = {
            state: (f"nodes.{name}.{state}", f"nodes.{name}.parametrizations.{state}.original")
            for state in node.state_shapes
        }
        shapes = {s: stored[k].shape for s, keys in places.items() for k in keys if k in stored}
        allocate_state(node, shapes)


def random_state() -> dict[str, Any]:
    """Return the state of all random number generators, as values that a checkpoint can hold."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set all random number generators."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():  # else the run goes on elsewhere
        torch.cuda.set_rng_state_all(state["cuda"])


def log_way_back(config: TrainerConfig, *, epoch: int) -> None:
    """Say how to go on with a run that was stopped in an epoch, counted from 0."""
    where = f"Training stopped in epoch {epoch + 1} of {config.max_epochs}"
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
    logger.warning('%s. To go on after epoch %d, pass ckpt_path="last" (%s).', where, done, path)
