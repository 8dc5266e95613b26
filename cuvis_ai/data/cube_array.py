"""`CubeArray`: what an index of a cube on disk reads; imports `formats.contents` and NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cuvis_ai.data.formats.contents import Array, BlockSource

_BOX = 64 << 20
"""Bytes read at once where more is read than is asked for (steps, lists of bands)."""

_Index = int | slice | Sequence[int] | Sequence[bool] | Array


class CubeArray:
    """An (h, w, c) array on disk: each index reads what it needs, and only that stays in memory.

    Rows and columns take an int or a slice with any step; bands also take a list of band numbers or one
    flag a band, as for dropping bad bands. `np.asarray(array)` reads everything. The result is fresh and
    writable, in native byte order, in the file's number type; its memory order may be the file's.

    Args:
        source: gives out boxes of the array.

    Example:
        >>> from pathlib import Path
        >>> from cuvis_ai.data.formats.whole import WholeSource
        >>> load = lambda path, key: np.arange(24).reshape(2, 3, 4)
        >>> order = (0, 1, 2)
        >>> source = WholeSource(path=Path("."), key="", shape=(2, 3, 4), order=order, decode=load)
        >>> CubeArray(source)[1, :2, [0, 3]]
        array([[12, 15],
               [16, 19]])
    """

    ndim = 3

    def __init__(self, source: BlockSource) -> None:
        self._source = source

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        return self._source.shape

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The number type, in native byte order."""
        return self._source.dtype.newbyteorder("=")

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array in memory."""
        h, w, c = self.shape
        return h * w * c * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"CubeArray(shape={self.shape}, dtype={self.dtype})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("CubeArray: expected copy=None or True, got False. The values lie on disk.")
        values = self[...]
        return values if dtype is None else values.astype(dtype, copy=False)

    def __getitem__(self, index: Any) -> Array:
        rows, columns, bands = (_axis(part, n) for part, n in zip(_parts(index), self.shape, strict=True))
        if 0 in (rows.n, columns.n, bands.n):
            out = np.empty((rows.n, columns.n, bands.n), self.dtype)
        elif rows.dense and columns.dense and bands.dense:
            out = _native(self._source.read(rows.box, columns.box, bands.box))
        else:
            out = self._read_sparse(rows, columns, bands)
        result: Array = out[tuple(0 if axis.scalar else slice(None) for axis in (rows, columns, bands))]
        return result

    def _read_sparse(self, rows: "_Axis", columns: "_Axis", bands: "_Axis") -> Array:
        """Read boxes of few rows and keep of each what was asked for."""
        wanted = range(self.shape[0])[rows.box][rows.within]
        row_bytes = _length(columns.box) * _length(bands.box) * self.dtype.itemsize
        n_rows = max(1, _BOX // (row_bytes * abs(wanted.step)))
        out = np.empty((rows.n, columns.n, bands.n), self.dtype)
        for first in range(0, rows.n, n_rows):
            part = _axis_of(wanted[first : first + n_rows])
            box = self._source.read(part.box, columns.box, bands.box)
            out[first : first + n_rows] = box[part.within][:, columns.within][:, :, bands.within]
        return out


@dataclass(frozen=True, kw_only=True, eq=False)
class _Axis:
    """What an index asks for along one axis."""

    n: int
    box: slice
    """The smallest run of positions that has all that is asked for."""
    within: Any
    """What to take of that run: a slice or positions."""
    dense: bool
    """The run is exactly what is asked for."""
    scalar: bool
    """The axis is dropped from the result."""


def _parts(index: Any) -> tuple[Any, Any, Any]:
    """Return one index an axis."""
    parts = list(index) if isinstance(index, tuple) else [index]
    at = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    parts[at : at + 1] = [slice(None)] * (3 - len(parts) + (at < len(parts)))
    if len(parts) != 3 or any(part is None or part is Ellipsis for part in parts):
        raise IndexError(f"CubeArray: expected up to 3 indices (rows, columns, bands), got {index!r}.")
    if not all(isinstance(part, int | np.integer | slice) for part in parts[:2]):
        raise TypeError(
            f"CubeArray: expected ints or slices for rows and columns, got {index!r}. "
            "Read a block first, then index that."
        )
    return parts[0], parts[1], parts[2]


def _axis(index: _Index, n: int) -> _Axis:
    """Resolve one index against an axis of n positions."""
    if isinstance(index, slice):
        return _axis_of(range(n)[index])
    if isinstance(index, int | np.integer):
        if not -n <= index < n:
            raise IndexError(f"CubeArray: expected an index from {-n} to {n - 1}, got {index}.")
        at = int(index) % n
        return _Axis(n=1, box=slice(at, at + 1), within=slice(None), dense=True, scalar=True)
    wanted = np.asarray(index)
    if wanted.dtype == bool and wanted.shape == (n,):
        wanted = np.flatnonzero(wanted)
    if wanted.size == 0:
        return _axis_of(range(0))
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu" or wanted.min() < -n or wanted.max() >= n:
        raise IndexError(
            f"CubeArray: expected band numbers from {-n} to {n - 1} or {n} flags, got {wanted.dtype} "
            f"{wanted.shape}: {index!r}."
        )
    wanted = wanted.astype(np.int64) % n
    low, high = int(wanted.min()), int(wanted.max()) + 1
    return _Axis(n=len(wanted), box=slice(low, high), within=wanted - low, dense=False, scalar=False)


def _axis_of(wanted: range) -> _Axis:
    """Resolve the positions of a slice."""
    if not wanted:
        return _Axis(n=0, box=slice(0, 0), within=slice(None), dense=True, scalar=False)
    box = slice(min(wanted), max(wanted) + 1)
    step = None if len(wanted) == 1 else wanted.step
    return _Axis(
        n=len(wanted), box=box, within=slice(None, None, step), dense=step in (None, 1), scalar=False
    )


def _length(part: slice) -> int:
    length: int = part.stop - part.start
    return length


def _native(values: Array) -> Array:
    """Return fresh values in native byte order, swapped in place."""
    if values.dtype.isnative:
        return values
    return values.byteswap(inplace=True).view(values.dtype.newbyteorder("="))
