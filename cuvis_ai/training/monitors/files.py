"""Folders that one run at a time writes to, and files of earlier runs, neither mixed with others nor lost."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from cuvis_ai.errors import ConfigError

logger = logging.getLogger(__name__)


def move_aside(folder: Path, names: Iterable[str]) -> None:
    """Rename what exists of `names` in a folder: `metrics.jsonl` to `metrics.20260131T120000Z.jsonl`.

    All get the time of the first one's last change, so that files of one run stay together.
    """
    present = [folder / name for name in names if (folder / name).exists()]
    if not present:
        return
    changed = datetime.fromtimestamp(present[0].stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    stamps = (changed if i == 1 else f"{changed}-{i}" for i in range(1, 10_000))
    stamp = next(s for s in stamps if not any(_stamped(path, s).exists() for path in present))
    for path in present:
        path.rename(_stamped(path, stamp))
        logger.info("%s of an earlier run moved to %s", path.name, _stamped(path, stamp))


def claim(folder: Path, owner: str) -> TextIO:
    """Make a folder and hold it for this process, until the returned file is closed or the process ends.

    The lock is the operating system's, so that nothing is left of it after a `kill -9`. Processes that
    this one starts do not inherit it.

    Args:
        folder: the folder; made if missing.
        owner: the argument that names it, as the message's subject.

    Raises:
        ConfigError: it cannot be written to, or another run holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as err:
        raise ConfigError(
            f"{owner}: expected a folder that can be written to, got {str(folder)!r} ({err.strerror}). "
            "Choose another, or correct its permissions."
        ) from err
    if sys.platform != "win32":
        import fcntl  # Unix alone has it

        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as err:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise ConfigError(
                f"{owner}: expected a folder that no other run writes to, got {str(folder)!r}, which process "
                f"{holder} holds. Wait for it to end, or choose another folder."
            ) from err
        except OSError as err:
            logger.warning("%s: %s cannot be locked: %s", owner, folder, err.strerror)
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def cut(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Leave out of a file of JSON lines those that are not to be kept, and a last one that is cut off."""
    if not path.exists():
        return
    part = path.with_name(f"{path.name}.part")
    with path.open(encoding="utf-8") as old, part.open("w", encoding="utf-8") as new:
        new.writelines(line for line in old if line.endswith("\n") and keep(json.loads(line)))
    part.replace(path)


def _stamped(path: Path, stamp: str) -> Path:
    return path.with_name(f"{path.stem}.{stamp}{path.suffix}")
