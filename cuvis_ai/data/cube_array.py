"""`CubeArray`: a cube on disk, of which an index reads what it needs."""

from typing import Any

import numpy as np

from cuvis_ai.data.sources.contents import Array, BlockSource

_BOX = 64 << 20
"""Bytes read at once where more is read than is asked for (steps, lists of bands)."""
_ALL = slice(None, None, 1)


class CubeArray:
    """An (h, w, c) array on disk: each index reads what it needs, and only that stays in memory.

    Rows and columns take an int or a slice with any step; bands also take a list of band numbers or one
    flag a band, as for dropping bad bands. `np.asarray(array)` reads everything. The result is fresh and
    writable, in native byte order, in the file's number type; its memory order may be the file's.

    Args:
        source: gives out boxes of the array.

    Example:
        >>> from cuvis_ai.data.sources.members import MemberSource
        >>> values = np.arange(24).reshape(2, 3, 4)
        >>> source = MemberSource(load=lambda *box: values[box].copy(), shape=values.shape)
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
        axes = [_positions(part, n) for part, n in zip(_parts(index), self.shape, strict=True)]
        rows, columns, bands = (np.atleast_1d(axis) for axis in axes)
        if 0 in (len(rows), len(columns), len(bands)):
            out = np.empty((len(rows), len(columns), len(bands)), self.dtype)
        elif all(isinstance(part, slice) and part == _ALL for _, part in map(_run, (rows, columns, bands))):
            out = self._read(rows, columns, bands)
        else:
            out = self._read_in_parts(rows, columns, bands)
        result: Array = out[tuple(slice(None) if axis.ndim else 0 for axis in axes)]
        return result

    def _read_in_parts(self, rows: Array, columns: Array, bands: Array) -> Array:
        """Read some rows at a time, as more is read than is asked for."""
        step = int(abs(rows[1] - rows[0])) if len(rows) > 1 else 1
        row_bytes = self.dtype.itemsize * int(np.ptp(columns) + 1) * int(np.ptp(bands) + 1)
        n_rows = max(1, _BOX // (row_bytes * step))
        out = np.empty(0, self.dtype)
        for first in range(0, len(rows), n_rows):
            part = self._read(rows[first : first + n_rows], columns, bands)
            if not first:
                out = np.empty_like(part, shape=(len(rows), len(columns), len(bands)))
            out[first : first + n_rows] = part
        return out

    def _read(self, *axes: Array) -> Array:
        """Read the smallest box that has the positions, and take them from it."""
        runs = [_run(positions) for positions in axes]
        values = self._source.read(*(box for box, _ in runs))
        if not values.dtype.isnative:
            values = values.byteswap(inplace=True).view(self.dtype)
        for axis, (_, within) in enumerate(runs):
            part = (slice(None),) * axis
            values = values[(*part, within)] if isinstance(within, slice) else _taken(values, within, axis)
        return values


def _taken(values: Array, positions: Array, axis: int) -> Array:
    """Return positions of an axis, in the memory order of the values."""
    order = sorted(range(3), key=lambda one: -values.strides[one])
    return values.transpose(order).take(positions, order.index(axis)).transpose(np.argsort(order))


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


def _positions(index: Any, n: int) -> Array:
    """Return the positions, from 0, that an index asks for on an axis of n; without an axis for an int."""
    if isinstance(index, slice):
        return np.arange(*index.indices(n))
    try:
        positions = np.arange(n)[list(index) if isinstance(index, tuple) else index]
    except IndexError as err:
        raise IndexError(
            f"CubeArray: expected positions from {-n} to {n - 1} or {n} flags, got {index!r}: {err}."
        ) from err
    if positions.ndim > 1:
        raise IndexError(f"CubeArray: expected one list of bands, got {index!r}.")
    return np.asarray(positions)


def _run(positions: Array) -> tuple[slice, Array | slice]:
    """Return the smallest run that has the positions, and what to take of it: `_ALL`, a step or a list."""
    run = slice(int(positions.min()), int(positions.max()) + 1)
    step = int(positions[1] - positions[0]) or 1 if len(positions) > 1 else 1
    even = np.array_equal(np.arange(run.start, run.stop)[::step], positions)
    return run, slice(None, None, step) if even else positions - run.start
