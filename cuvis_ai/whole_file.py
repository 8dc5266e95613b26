"""Files that are written whole or not at all."""

import hashlib
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl


def write_whole(path: Path, content: bytes | memoryview, check: Callable[[Path], None] | None = None) -> None:
    """Write a file beside its place, through to the disk, then rename it: the old or the new one is there.

    The name meanwhile is random, so that two processes that write the same file do not mix their bytes. What
    a process that was killed left of the same file is removed; its lock tells it from one being written.
    (Windows has no such locks: there it stays.)

    Args:
        path: exactly where it comes to lie; folders that are missing are made.
        content: its bytes.
        check: is given the written file before it replaces the old one; what it raises leaves that in place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the name itself, which may be as long as a folder can hold.
    beginning = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}."
    for other in path.parent.glob(f"{beginning}*.part"):
        _remove_abandoned(other)
    part = path.with_name(f"{beginning}{secrets.token_hex(8)}.part")
    with ExitStack() as stack:
        try:
            with part.open("xb") as file:
                stack.enter_context(_locked(file))
                if not part.exists():  # another process took it for abandoned before it was locked
                    return write_whole(path, content, check)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if check is not None:
                check(part)
            part.replace(path)
        except BaseException:  # Ctrl-C too: no part of a file is left
            part.unlink(missing_ok=True)
            raise


def make_writable(folder: Path) -> None:
    """Make a folder, if it is not there, and try whether files can be written in it.

    Raises:
        OSError: it cannot be made, or not be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Hold the lock of a file, also after it is closed; the system frees it however the process ends."""
    if sys.platform == "win32":
        yield
        return
    with os.fdopen(os.dup(file.fileno()), "wb") as lock:
        with suppress(OSError):  # a file system without locks, where nothing can be told to be abandoned
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_abandoned(part: Path) -> None:
    """Remove a part of a file, unless a process is writing it."""
    if sys.platform == "win32":
        return
    with suppress(OSError), part.open("r+b") as file:  # it is locked, or gone by now
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()
