"""`RemoteFile`: a file behind a URL, read through fsspec by ranges, or whole where the server has none."""

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from cuvis_ai.data.sources.urls import Url
from cuvis_ai.errors import DatasetNotFoundError, MissingExtraError, import_extra, printable

_BLOCK = 1 << 20
"""Bytes that are asked for at once; the five times as many of fsspec are more than a small window needs."""


class RemoteFile:
    """One file behind a URL and no other: what lies beside it is never asked for.

    The connection is made when it is first read, once; a copy in another process makes its own.

    Args:
        url: of any protocol that fsspec knows.
    """

    def __init__(self, url: Url) -> None:
        self.url = url
        self._alone = threading.Lock()

    def __str__(self) -> str:
        return self.url

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return type(self), (self.url,)

    def check(self) -> None:
        """Look that the file is there.

        Raises:
            DatasetNotFoundError: it is not, or the server does not answer.
            MissingExtraError: fsspec, or what it needs for this protocol, is not installed.
        """
        try:
            self.read(0, 1)
        except ImportError as err:
            raise MissingExtraError(
                f"{self.url}: expected a package that fsspec reads it with, got: {err}"
            ) from err
        except MissingExtraError:
            raise
        except Exception as err:  # each protocol's package has errors of its own
            raise self.unreachable(err, "Correct the URL") from err

    def unreachable(self, err: Exception, advice: str) -> DatasetNotFoundError:
        """Return the error to raise for one of a connection."""
        # fsspec calls every failure of HTTP a missing file, and tells why in its cause.
        cause = (isinstance(err, FileNotFoundError) and err.__cause__) or err
        said = printable(f"{type(cause).__name__}: {cause}".removesuffix(": "), 300)
        return DatasetNotFoundError(f"{self.url}: expected a file, got {said}. {advice}.")

    def read(self, start: int, n_bytes: int) -> bytes:
        """Return bytes from a position on; fewer at the end, all of the rest if -1 are asked for."""
        with self._alone:
            self._file.seek(start)
            return self._file.read(n_bytes)

    @cached_property
    def n_bytes(self) -> int:
        """The file's size."""
        with self._alone:
            return self._file.seek(0, os.SEEK_END)

    @contextmanager
    def opener(self, name: str) -> Iterator[Callable[..., BinaryIO]]:
        """Yield what opens this file, as rasterio's `opener`, under a name; others are not found.

        Raises:
            DatasetNotFoundError: the connection was lost meanwhile; a library in C sees the file end there.
        """
        failures: list[Exception] = []

        def opened(path: str, mode: str = "rb", **_: object) -> BinaryIO:
            if path != name or mode not in ("r", "rb"):
                raise FileNotFoundError(path)
            return io.BufferedReader(_Reader(self, failures))

        try:
            yield opened
        finally:
            if failures:
                raise self.unreachable(failures[0], "Read it again") from failures[0]

    @cached_property
    def _file(self) -> BinaryIO:
        fsspec = import_extra("fsspec", "geo", f"reading {self.url}")
        system, path = fsspec.core.url_to_fs(self.url)
        file: BinaryIO = system.open(path, "rb", block_size=_BLOCK, cache_type="blockcache")
        try:
            file.seek(-1, os.SEEK_END)
            file.read(1)
        except ValueError:  # the server sends files from their beginning alone
            file.close()
            return io.BytesIO(system.cat_file(path))
        return file


class _Reader(io.RawIOBase):
    """A position in a remote file; to close it closes no connection."""

    def __init__(self, remote: RemoteFile, failures: list[Exception]) -> None:
        self._remote = remote
        self._failures = failures
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._remote.n_bytes}[whence]
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        try:
            found = self._remote.read(self._at, len(buffer))
        except Exception as err:
            self._failures.append(err)
            return 0
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


Location: TypeAlias = Path | RemoteFile
"""Where a file is."""


def size_of(location: Location) -> int:
    """Return a file's size in bytes."""
    return location.stat().st_size if isinstance(location, Path) else location.n_bytes
