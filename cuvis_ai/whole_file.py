"""Files that are written whole or not at all."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, content: bytes | memoryview, check: Callable[[Path], None] | None = None) -> None:
    """Write a file beside its place, through to the disk, then rename it: the old or the new one is there.

    The name meanwhile is random, so that two processes that write the same file do not mix their bytes.

    Args:
        path: exactly where it comes to lie; folders that are missing are made.
        content: its bytes.
        check: is given the written file before it replaces the old one; what it raises leaves that in place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(part)
        part.replace(path)
    except BaseException:  # Ctrl-C too: no part of a file is left
        part.unlink(missing_ok=True)
        raise
