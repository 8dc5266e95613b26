"""Boxes of a raw binary cube, read with plain file reads.

Plain reads instead of a memory map: the pages of a map that were touched count as the process's memory
until they are dropped, so that walking over a large scene would seem, and under a memory limit would be,
as expensive as loading it.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.sources.contents import Array
from cuvis_ai.errors import CubeFormatError

_GAP = 16 << 10
"""Bytes that are read and thrown away sooner than seeking over them."""
_BUFFER = 1 << 20
"""Bytes read at once where gaps are thrown away."""


@dataclass(frozen=True, kw_only=True)
class RawSource:
    """A cube stored as one plain array of numbers at some offset of a file.

    Args:
        path: the file.
        offset: bytes before the first number.
        dtype: number type and byte order on disk.
        shape: (h, w, c).
        order: the axes of `shape` as they lie on disk, slowest first: (2, 0, 1) is BSQ, (0, 2, 1) BIL,
            (0, 1, 2) BIP, (2, 1, 0) Fortran order.
    """

    path: Path
    offset: int
    dtype: "np.dtype[Any]"
    shape: tuple[int, int, int]
    order: tuple[int, int, int]

    @property
    def end(self) -> int:
        """Bytes that the file must have."""
        return self.offset + self.dtype.itemsize * self.shape[0] * self.shape[1] * self.shape[2]

    def read(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return one box; its memory order is the file's, so that contiguous runs are read as they are."""
        box = [(rows, columns, bands)[axis] for axis in self.order]
        out = np.empty([part.stop - part.start for part in box], self.dtype)
        _, n_middle, n_fast = (self.shape[axis] for axis in self.order)
        slow, middle, fast = box
        first = (slow.start * n_middle + middle.start) * n_fast + fast.start
        with self.path.open("rb", buffering=0) as file:
            if out.shape[2] == n_fast:
                self._read_runs(file, first, n_middle * n_fast, out.reshape(out.shape[0], -1))
            else:
                for i in range(out.shape[0]):
                    self._read_runs(file, first + i * n_middle * n_fast, n_fast, out[i])
        return out.transpose(np.argsort(self.order))

    def _read_runs(self, file: io.FileIO, first: int, stride: int, out: Array) -> None:
        """Fill each row of `out` with the numbers from `first`, `first + stride`, and so on."""
        n_runs, run = out.shape
        size = self.dtype.itemsize
        per_read = _BUFFER // (stride * size)
        if run == stride or n_runs == 1:
            self._read_into(file, first, out)
        elif (stride - run) * size > _GAP or not per_read:
            for i in range(n_runs):
                self._read_into(file, first + i * stride, out[i])
        else:
            buffer = np.empty(min(per_read, n_runs) * stride, self.dtype)
            for i in range(0, n_runs, per_read):
                n = min(per_read, n_runs - i)
                # The last run ends before its gap: after it the file may end.
                self._read_into(file, first + i * stride, buffer[: (n - 1) * stride + run])
                out[i : i + n] = buffer[: n * stride].reshape(n, stride)[:, :run]

    def _read_into(self, file: io.FileIO, first: int, out: Array) -> None:
        """Fill the contiguous `out` with the numbers from the `first` on."""
        file.seek(self.offset + first * self.dtype.itemsize)
        buffer = memoryview(out.reshape(-1).view(np.uint8).data)
        while buffer:
            n_read = file.readinto(buffer)
            if not n_read:
                raise CubeFormatError(
                    f"{self.path}: expected {self.end} bytes, got {self.path.stat().st_size}. "
                    "The file was cut short after it was opened; copy it again."
                )
            buffer = buffer[n_read:]
