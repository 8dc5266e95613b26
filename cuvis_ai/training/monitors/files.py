"""Output folders: held by one run at a time, the files of earlier runs moved aside or continued."""

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cuvis_ai.errors import ConfigError

logger = logging.getLogger(__name__)


def claim(folder: Path, owner: str, argument: str) -> FileLock:
    """Make a folder and hold it for one run, until the returned lock is released or the process ends.

    Each class of monitors holds the files that it writes, so that several share a folder in one run. The
    lock is the operating system's, so that nothing is left of it after a `kill -9`.

    Args:
        folder: the folder; made if missing.
        owner: the class that writes to it.
        argument: the argument that names it.

    Raises:
        ConfigError: it cannot be written to, or another run holds it, be it one of this process.
    """
    path = try_folder(folder, owner, argument)
    holder = _holder(path)  # read before the attempt: that of an older filelock empties the file
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as err:
        raise ConfigError(
            f"{owner}: {argument}: expected a folder that no other run writes to, got {str(folder)!r}, which "
            f"{holder} holds. Wait for that run to end, or choose another folder."
        ) from err
    except (OSError, NotImplementedError) as err:  # a file system without locks
        logger.warning("%s: %s: %s cannot be locked: %s", owner, argument, folder, err)
    else:
        with suppress(OSError):  # on Windows a locked file cannot be written
            path.write_text(f"{os.getpid()}\n", encoding="utf-8")
    return lock


def try_folder(folder: Path, owner: str, argument: str) -> Path:
    """Make a folder and, in it, the file by which it can be held; return that file.

    Raises:
        ConfigError: it cannot be written to.
    """
    path = folder / f".{owner}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as err:
        raise ConfigError(
            f"{owner}: {argument}: expected a folder that can be written to, got {str(folder)!r} "
            f"({err.strerror}). Choose another, or correct its permissions."
        ) from err
    return path


def _holder(path: Path) -> str:
    with suppress(OSError, ValueError):  # nor read
        holder = int(path.read_text(encoding="utf-8"))
        return "another run of this process" if holder == os.getpid() else f"process {holder}"
    return "another process"


def move_aside(folder: Path, names: Iterable[str]) -> None:
    """Rename what exists of `names` in a folder: `metrics.jsonl` to `metrics.20260131T120000Z.jsonl`.

    All get the time of the first one's last change, so that files of one run stay together.
    """
    present = [folder / name for name in names if (folder / name).exists()]
    if present:
        stamp = time_stamp(present[0], lambda stamp: any(_stamped(path, stamp).exists() for path in present))
        for path in present:
            path.rename(_stamped(path, stamp))
            logger.info("%s of an earlier run moved to %s", path.name, _stamped(path, stamp))


def time_stamp(path: Path, taken: Callable[[str], bool]) -> str:
    """Return the time of a file's last change, with a number if that is `taken`: `20260131T120000Z-2`."""
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    stamps = (changed if i == 1 else f"{changed}-{i}" for i in range(1, 10_000))
    return next(stamp for stamp in stamps if not taken(stamp))


def _stamped(path: Path, stamp: str) -> Path:
    return path.with_name(f"{path.stem}.{stamp}{path.suffix}")


def safe_name(name: str) -> str:
    """Return a name as that of a file or folder: other characters than letters, digits, "_.-" become "_"."""
    return re.sub(r"[^\w.-]|^\.+", "_", name) or "_"


def append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows to a file of JSON lines; what JSON has no form for becomes text."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, default=str) + "\n" for row in rows)


def made_again(path: Path, owner: str) -> bool:
    """Make a file again, and its folder, if it vanished during a run; say so, and return whether it had."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    logger.warning(
        "%s: %s vanished during the run, with what it held. It is made again and goes on", owner, path
    )
    return True


def cut(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Leave out of a file of JSON lines those that are not to be kept, and a last one that is cut off."""
    if not path.exists():
        return
    part = path.with_name(f"{path.name}.part")
    with path.open(encoding="utf-8") as old, part.open("w", encoding="utf-8") as new:
        new.writelines(line for line in old if line.endswith("\n") and keep(json.loads(line)))
    part.replace(path)
