"""Checkpoint files: written whole, read as untrusted, and removed only where the run's own lie."""

import io
import logging
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from packaging.version import InvalidVersion, Version
from torch import Tensor

from cuvis_ai.errors import ConfigError
from cuvis_ai.paths import StrPath
from cuvis_ai.whole_file import write_whole

logger = logging.getLogger(__name__)

OF_A_CHANGED_FORM = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What comes of using a part of a checkpoint that has another form than it was given."""

_ENTRY = b"PK\x01\x02"
_MOST_ENTRIES = 20_000
_DEEPEST = 100
"""Containers in containers; those of a checkpoint are some ten deep."""
_OLDEST = Version("2.6")
"""Lightning's version. A checkpoint that says it is older would be rewritten before it is looked at."""


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place, then renames it: at any moment the old or the new file is there.

    Lightning's own way goes through the system's folder for temporary files. Where that is another file
    system, the file is then copied over the old one, which a full disk or a kill leaves in pieces.

    Args:
        callbacks: nothing is removed but files in the folders of the `ModelCheckpoint`s among these.
    """

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        self._callbacks = [one for one in callbacks if isinstance(one, ModelCheckpoint)]

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: StrPath, storage_options: Any | None = None
    ) -> None:
        """Write a file, through to the disk.

        Raises:
            OSError: it could not be written; what was there before is as it was.
        """
        path = os.fspath(path)
        if "://" in path:  # a bucket, which has no renaming and replaces objects as a whole
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            write_whole(Path(path), content.getbuffer())
        except OSError as err:
            reason = f"the checkpoint could not be written, the one before is whole: {err.strerror}"
            raise OSError(err.errno, reason, path) from err

    def load_checkpoint(
        self, path: StrPath, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return what a file holds, see `read_checkpoint`."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: StrPath) -> None:
        """Remove a file that a callback does not keep; anything else stays, whatever a checkpoint says."""
        path = os.fspath(path)
        if not any(lies_below(path, one.dirpath) for one in self._callbacks):
            logger.warning("%s is no checkpoint of this run: it is not removed", path)
        elif "://" in path:
            get_filesystem(path).rm(path)
        else:
            Path(path).unlink(missing_ok=True)


def lies_below(path: object, folder: StrPath | None) -> bool:
    """Return whether a path names a checkpoint file in a folder, or in a folder below it."""
    if not isinstance(path, str) or not path.endswith(ModelCheckpoint.FILE_EXTENSION) or not folder:
        return False
    folder = os.fspath(folder)
    if "::" in path or "://" in path or "://" in folder:  # a bucket's names are plain text
        return path.startswith(f"{folder.rstrip('/')}/") and ".." not in path.split("/")
    try:
        resolved = Path(path).resolve()
        return Path(folder).resolve() in resolved.parents and not resolved.is_dir()
    except (OSError, RuntimeError, ValueError):  # links in a circle, too long, a null character
        return False


def forget_foreign_paths(callback: ModelCheckpoint) -> None:
    """Let a callback that was restored hold paths in its own folder alone: others were never its files.

    Raises:
        ConfigError: what it holds has another form than Lightning gives it.
    """
    best: Any = callback.best_k_models
    if not isinstance(best, dict) or not all(isinstance(v, Tensor) and v.numel() == 1 for v in best.values()):
        raise ConfigError(
            "ckpt_path: expected the state of a ModelCheckpoint, got a changed one: best_k_models."
        )
    named = (callback.best_model_path, callback.kth_best_model_path, callback.last_model_path, *best)
    foreign = {str(path) for path in named if path != "" and not lies_below(path, callback.dirpath)}
    if foreign:
        logger.info(
            "ModelCheckpoint: the checkpoint names files outside of %s, which are left alone: %s",
            callback.dirpath,
            ", ".join(sorted(f"{path[:200]!a}" for path in foreign)),
        )
    kept = {path: score for path, score in best.items() if str(path) not in foreign}
    callback.best_k_models = kept
    if str(callback.last_model_path) in foreign:
        callback.last_model_path = ""
    if str(callback.best_model_path) in foreign:
        first = {"min": min, "max": max}[callback.mode]
        callback.best_model_path = first(kept, key=lambda path: kept[path]) if kept else ""
        callback.best_model_score = kept.get(callback.best_model_path)
    if callback.kth_best_model_path not in kept:
        worst = {"min": max, "max": min}[callback.mode]
        callback.kth_best_model_path = worst(kept, key=lambda path: kept[path]) if kept else ""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint file holds.

    Raises:
        ConfigError: there is no such file, it is damaged, or nothing can go on from it.
    """
    try:
        content = path.read_bytes()
        checkpoint: Any = None if _damaged(content) else _unpickled(content)
    except FileNotFoundError as err:
        raise ConfigError(
            f"ckpt_path: expected a checkpoint file, got {str(path)!r}, which does not exist."
        ) from err
    except Exception as err:  # a damaged or hostile file can fail in any way
        raise ConfigError(
            f"ckpt_path: expected a checkpoint of tensors and plain values, got {str(path)!r}, which is "
            f"damaged or asks for code to be run ({type(err).__name__}). No code was run."
        ) from err
    if checkpoint is None:
        raise ConfigError(
            f"ckpt_path: expected a checkpoint as it was written, got {str(path)!r}, which is damaged: "
            f"{_damaged(content)}. Copy it again, or take an earlier one."
        )
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
        last = batches["is_last_batch"]
    except OF_A_CHANGED_FORM as err:
        raise ConfigError(
            f"ckpt_path: expected a Lightning checkpoint, got {str(path)!r}, which is changed: {err!r:.300}"
        ) from err
    if last and not done:
        # Lightning would begin with the next epoch: without this one's validation, values and scheduler step.
        raise ConfigError(
            f"ckpt_path: expected a checkpoint that Lightning can go on from, got {str(path)!r}, which was "
            "written between the last step of an epoch and its end. Take another one."
        )
    return checkpoint


def _damaged(content: bytes) -> str | None:
    """Return what is wrong with a zip of stored members, by its own checksums; None if nothing is.

    torch itself compares no checksum: a flipped bit would become a weight.
    """
    if content.count(_ENTRY) > _MOST_ENTRIES:
        return f"more than {_MOST_ENTRIES} members"
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        infos = file.infolist()
        if len({info.filename for info in infos}) < len(infos):
            return "a member is given twice"
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            return "a member is compressed"
        if sum(info.file_size for info in infos) > len(content):
            return "members are larger than the file"
        name = file.testzip()
    return None if name is None else f"the checksum of {name!a:.200} does not match"


def _unpickled(content: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, on tensors of kinds that are refused
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def position_of(checkpoint: Mapping[str, Any]) -> tuple[int, int]:
    """Return the first epoch, counted from 0, that was not finished, and the optimizer steps so far."""
    loop = checkpoint["loops"]["fit_loop"]
    return int(loop["epoch_progress"]["current"]["processed"]), int(checkpoint["global_step"])


def _check_forms(checkpoint: Mapping[str, Any]) -> None:
    """Raise what comes of it if a part of a checkpoint has another form than Lightning gives it."""
    for where, tensor in _tensors(checkpoint):
        # A stride of 0 gives any shape to a few stored bytes; a tensor of no device has none at all.
        plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not plain or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise ValueError(f"{where}: expected a tensor as large as it says")
    if not isinstance(checkpoint["epoch"], int):
        raise TypeError(f"epoch: expected a number, got {checkpoint['epoch']!r:.100}")
    if not isinstance(checkpoint.get("lr_schedulers"), list):
        raise TypeError("lr_schedulers: expected a list")
    version = checkpoint["pytorch-lightning_version"]
    if not isinstance(version, str):
        raise TypeError("pytorch-lightning_version: expected a text")
    try:
        old = Version(version) < _OLDEST
    except InvalidVersion as err:
        raise ValueError(f"pytorch-lightning_version: {err}") from err
    if old:
        raise ValueError(f"pytorch-lightning_version: expected {_OLDEST} or newer, got {version}")
    position_of(checkpoint)
    for name, value in checkpoint["state_dict"].items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise TypeError(f"{name!r:.100}: expected a tensor as large as it says, got {value!r:.100}")


def _tensors(tree: object, where: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors in nested containers, with where they are."""
    if depth > _DEEPEST:
        raise ValueError(f"{where[:100]}: expected at most {_DEEPEST} containers in each other")
    if isinstance(tree, Tensor):
        yield where, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _tensors(value, f"{where}.{key!s:.100}" if where else f"{key!s:.100}", depth + 1)
    elif isinstance(tree, list | tuple | set):
        for value in tree:
            yield from _tensors(value, where, depth + 1)
