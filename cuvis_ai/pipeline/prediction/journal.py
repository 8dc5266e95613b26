"""Which strips of a scene have been written: a file of lines, each appended after its strip's data."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.pipeline.prediction.identity import identity_in, require_same


class Journal:
    """The unfinished scores of one scene, (h, w, k) in float32, and which of their rows are on disk.

    Several processes may write strips of one scene. A strip counts once its line is in the journal, which is
    appended after its values are on disk, so that a process that ends at any moment leaves no strip that
    counts and is not there.

    Args:
        path: without an ending; the values lie in `.part`, the journal in `.journal`.
        shape: (h, w, k).
        identity: what makes these scores others: graph, scene, options. A journal with another identity is
            refused.

    Raises:
        ConfigError, FileExistsError: the journal belongs to another prediction.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], identity: Mapping[str, Any]) -> None:
        self.shape = shape
        self._values = _values_path(path)
        self._lines = journal_path(path)
        with _lock_of(path):
            found = identity_in(self._lines)
            if found is None:  # a process may have been killed before it wrote the first line
                self._lines.unlink(missing_ok=True)
                self._allocate()
                self._append(json.dumps(identity, sort_keys=True))
            else:
                require_same(self._lines, found, identity)

    def _allocate(self) -> None:
        """Make the file in full size first: a disk that is too small is found before the work."""
        n_bytes = int(np.prod(self.shape)) * 4
        with self._values.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                file.truncate(n_bytes)
            os.fsync(file.fileno())

    def _append(self, line: str) -> None:
        # One write of a short line in append mode is not mixed with another process's.
        handle = os.open(self._lines, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, f"{line}\n".encode())
            os.fsync(handle)
        finally:
            os.close(handle)

    def finished(self) -> set[int]:
        """Return the first rows of the strips that are on disk."""
        # A line that a killed process left unfinished has no end, and does not count.
        text = self._lines.read_text(encoding="utf-8")
        return {int(line) for line in text.split("\n")[1:-1] if line.isdigit()}

    def write(self, strip: Window, scores: NDArray[np.float32]) -> None:
        """Write the scores (h, w, k) of a strip of rows, then note that they are there."""
        with self._values.open("r+b") as file:
            file.seek(strip.top * self.shape[1] * self.shape[2] * 4)
            file.write(np.ascontiguousarray(scores, dtype="<f4").data)
            file.flush()
            os.fsync(file.fileno())
        self._append(str(strip.top))

    def scores(self) -> NDArray[np.float32]:
        """Return the scores, read from the file when they are indexed."""
        return np.memmap(self._values, dtype="<f4", mode="r", shape=self.shape)

    def remove(self) -> None:
        """Remove values and journal."""
        for path in (self._lines, self._values):
            path.unlink(missing_ok=True)


def journal_path(path: Path) -> Path:
    """Return where the journal of unfinished scores is; `path` has no ending."""
    return path.with_name(f".{path.name}.journal")


@contextmanager
def one_at_a_time(path: Path, facts: Path) -> Iterator[None]:
    """Let one process at a time end a scene; the file of the lock goes once the scene's facts are there.

    Who waits for a file that has gone makes another, and finds the facts: each must look for them first.

    Args:
        path: of the scene's outputs, without an ending.
        facts: the file that is written last.
    """
    with _lock_of(path) as lock:
        yield
        if facts.exists():
            with suppress(PermissionError):  # Windows removes no open file, but lets filelock remove it
                Path(lock.lock_file).unlink(missing_ok=True)


def remove_left(path: Path, facts: Path) -> None:
    """Remove what a process left that was killed once it had written a scene's facts.

    Args:
        path: of the scene's outputs, without an ending.
        facts: the file that is written last, and is there.
    """
    left = [journal_path(path), _values_path(path)]
    if any(one.exists() for one in (*left, _lock_path(path))):
        with one_at_a_time(path, facts):
            for one in left:
                one.unlink(missing_ok=True)


def _values_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _lock_of(path: Path) -> FileLock:
    return FileLock(_lock_path(path))
