"""MATLAB files of versions 5 to 7: every size and type is checked before a number is decoded.

SciPy's decoder indexes tables with bytes of the file, unchecked: one changed byte may end the process.

Reference: MathWorks, "MAT-File Format", R2023b, chapter "Level 5 MAT-File Format".
"""

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cuvis_ai.data.sources.contents import Array
from cuvis_ai.data.sources.decoding import UndecodableError, decoding

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _SPARSE = 1, 2, 5
_NUMERIC = range(6, 16)
"""Classes of numeric arrays: double, single and eight integers."""
_COMPLEX = 0x0800
_HEAD = 4096
"""Bytes of an array in which its name, shape and number type lie."""


@dataclass(frozen=True)
class Variable:
    """One numeric array of a file."""

    shape: tuple[int, ...]
    """As MATLAB shows it."""
    values: Array | None
    """Its numbers; None where only the shape was asked for."""


@dataclass(frozen=True)
class _Bytes:
    """A part of a file, and the byte order of its numbers."""

    content: memoryview
    order: str

    def tag(self, at: int) -> tuple[int, int, int, int]:
        """Return kind, beginning and bytes of the element at a position, and where the next one begins."""
        if at + 8 > len(self.content):
            raise UndecodableError(f"expected an element at byte {at}, got the end of the array.")
        kind, n = struct.unpack_from(f"{self.order}II", self.content, at)
        if kind >> 16 > 4:
            raise UndecodableError(f"expected up to 4 bytes in the tag at byte {at}, got {kind >> 16}.")
        if kind >> 16:
            return kind & 0xFFFF, at + 4, kind >> 16, at + 8
        return kind, at + 8, n, at + 8 + n + -n % 8

    def numbers(self, at: int, n_expected: int | None = None) -> tuple[Array, int]:
        """Return the element of numbers at a position, and where the next begins."""
        kind, start, n, after = self.tag(at)
        if kind not in _NUMBERS:
            raise UndecodableError(f"expected numbers at byte {at}, got an element of type {kind}.")
        dtype = np.dtype(self.order + _NUMBERS[kind])
        if start + n > len(self.content) or n % dtype.itemsize:
            raise UndecodableError(f"expected {n} bytes of {dtype} at byte {at}, got fewer or a part.")
        if n_expected is not None and n != n_expected * dtype.itemsize:
            raise UndecodableError(f"expected {n_expected} numbers at byte {at}, got {n / dtype.itemsize:g}.")
        values = np.frombuffer(self.content[start : start + n], dtype)
        return values.astype(dtype.newbyteorder("=")), after


def variables(path: Path, key: str | None = None) -> dict[str, Variable]:
    """Return the numeric arrays of a file by name; those of structs and cells as `struct/field`, `cell/0`.

    Elements of struct arrays and cells are counted from 0 in MATLAB's order.

    Args:
        path: a file of version 5 to 7.
        key: the array whose values are wanted; None: shapes only.

    Raises:
        CubeFormatError: a size, type or checksum in the file is impossible.
    """
    with decoding(path):
        return _variables(path, key)


def _variables(path: Path, key: str | None) -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    with path.open("rb") as file:
        header = file.read(128)
        order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
        if order is None:
            raise UndecodableError(f"expected a MATLAB file's header, got {header[124:128]!r}.")
        while len(tag := file.read(8)) == 8:
            kind, n = struct.unpack(f"{order}II", tag)
            at = file.tell()
            if at + n > path.stat().st_size or kind not in (_MATRIX, _COMPRESSED):
                raise UndecodableError(
                    f"expected a variable at byte {at - 8}, got type {kind} and {n} bytes "
                    f"in {path.stat().st_size}."
                )
            content = file.read(n if n <= _HEAD else _HEAD)
            head = _part(content, kind, order, _HEAD)
            name = _name(head)
            if name and (key is None or name == key.partition("/")[0]):
                nested = _class(head) in (_CELL, _STRUCT, _SPARSE)
                if nested or key is not None:
                    head = _part(content + file.read(max(0, n - _HEAD)), kind, order)
                    found.update(_arrays(head, name, key))
                elif _class(head) in _NUMERIC:
                    found[name] = Variable(_declared_shape(head), None)
            file.seek(at + n)
    return found


def _part(content: bytes, kind: int, order: str, at_most: int | None = None) -> _Bytes:
    """Return an array without its tag; its first bytes, if `at_most` is given."""
    return _Bytes(memoryview(_unpacked(content, order, at_most) if kind == _COMPRESSED else content), order)


def _class(part: _Bytes) -> int:
    return int(part.numbers(0, 2)[0][0]) & 0xFF


def _name(part: _Bytes) -> str:
    """Return an array's name; empty for a class that holds no numbers that can be read."""
    known = _class(part) in (_CELL, _STRUCT, _SPARSE, *_NUMERIC)
    return _beginning(part)[1] if known else ""


def _unpacked(content: bytes, order: str, at_most: int | None = None) -> bytes:
    """Return a deflated array without its own tag; its first bytes, if `at_most` is given."""
    stream = zlib.decompressobj()
    tag = stream.decompress(content, 8)
    if len(tag) < 8 or struct.unpack(f"{order}I", tag[:4])[0] != _MATRIX:
        raise UndecodableError("expected a compressed array, got another element.")
    n = struct.unpack(f"{order}I", tag[4:])[0]
    if at_most is not None:
        return stream.decompress(stream.unconsumed_tail, min(n, at_most))
    unpacked = stream.decompress(stream.unconsumed_tail, n) if n else b""
    stream.decompress(stream.unconsumed_tail, 1)
    if len(unpacked) != n or not stream.eof:  # only at its end has zlib compared the checksum
        raise UndecodableError(
            f"expected {n} bytes after decompression, got {len(unpacked)} or a wrong checksum."
        )
    return unpacked


def _beginning(part: _Bytes) -> tuple[int, str, tuple[int, ...], int]:
    """Return flags, name and shape of an array, and where its numbers begin."""
    flags, at = part.numbers(0, 2)
    shape, at = part.numbers(at)
    if len(shape) < 2 or shape.dtype.kind not in "iu" or (shape < 0).any():
        raise UndecodableError(f"expected a shape of two axes or more, got {shape[:9].tolist()}.")
    name, at = part.numbers(at)
    return int(flags[0]), bytes(name.astype(np.uint8)).decode("latin-1"), tuple(int(n) for n in shape), at


def _declared_shape(head: _Bytes) -> tuple[int, ...]:
    """Return a numeric array's shape after comparing it with the size of its numbers."""
    _, name, shape, at = _beginning(head)
    kind, _, n, _ = head.tag(at)
    if kind not in _NUMBERS or n != math.prod(shape) * np.dtype(_NUMBERS[kind]).itemsize:
        raise UndecodableError(f"expected the numbers of `{name}` {shape}, got type {kind}, {n} bytes.")
    return shape


def _arrays(part: _Bytes, name: str, key: str | None) -> Iterator[tuple[str, Variable]]:
    """Yield the numeric arrays of a matrix, a struct's and a cell's among them."""
    if not len(part.content):  # an empty element of a cell
        return
    kind = _class(part)
    if kind not in (_CELL, _STRUCT, _SPARSE, *_NUMERIC):
        return
    flags, _, shape, at = _beginning(part)
    if kind in _NUMERIC:
        values = _numeric(part, shape, at, bool(flags & _COMPLEX)) if name == key else None
        yield name, Variable(shape, values)
    elif kind == _SPARSE:
        values = _sparse(part, shape, at) if name == key else None
        yield name, Variable(shape, values)
    else:
        fields, at = _fields(part, at) if kind == _STRUCT else ([], at)
        for i in range(math.prod(shape)):
            inside = name if fields and math.prod(shape) == 1 else f"{name}/{i}"
            for below in [f"{inside}/{one}" for one in fields] or [inside]:
                element, start, n, after = part.tag(at)
                if element != _MATRIX or start + n > len(part.content):
                    raise UndecodableError(f"expected an array `{below}`, got type {element}, {n} bytes.")
                yield from _arrays(_Bytes(part.content[start : start + n], part.order), below, key)
                at = after


def _fields(part: _Bytes, at: int) -> tuple[list[str], int]:
    """Return a struct's field names, and where its first value begins."""
    length, at = part.numbers(at, 1)
    names, at = part.numbers(at)
    n = int(length[0])
    if n < 1 or len(names) % n:
        raise UndecodableError(f"expected field names of {n} bytes each, got {len(names)} bytes.")
    text = bytes(names.astype(np.uint8))
    return [text[i : i + n].partition(b"\0")[0].decode("latin-1") for i in range(0, len(text), n)], at


def _numeric(part: _Bytes, shape: tuple[int, ...], at: int, is_complex: bool) -> Array:
    """Return the numbers in the type in which they are stored."""
    values, at = part.numbers(at, math.prod(shape))
    if is_complex:
        imaginary, _ = part.numbers(at, math.prod(shape))
        values = values + 1j * imaginary
    return values.reshape(shape, order="F")


def _sparse(part: _Bytes, shape: tuple[int, ...], at: int) -> Array:
    rows, at = part.numbers(at)
    columns, at = part.numbers(at)
    values, _ = part.numbers(at)
    if len(shape) != 2 or len(columns) != shape[1] + 1:
        raise UndecodableError(f"expected a sparse array of {shape}, got {len(columns)} column starts.")
    return dense(shape[0], rows, columns, values)


def dense(n_rows: int, rows: Array, starts: Array, values: Array) -> Array:
    """Return a sparse matrix (n_rows, n) with all its zeros.

    Args:
        n_rows: its height.
        rows: the row of each value.
        starts: where each column begins among the values, and where the last one ends, (n + 1,).
        values: those that are not 0.

    Raises:
        UndecodableError: rows or columns lie outside the matrix, or two values in one place.
    """
    ends = starts.astype(np.int64)
    counts = ends[1:] - ends[:-1]
    n = int(counts.sum())
    rows, values = rows[:n].astype(np.int64), values[:n]
    wrong = len(starts) < 1 or starts[0] != 0 or (counts < 0).any() or len(rows) != n or len(values) != n
    if wrong or (n and not 0 <= rows.min() <= rows.max() < n_rows):
        raise UndecodableError(f"expected a sparse array's rows within {n_rows}, got others.")
    columns = np.repeat(np.arange(len(counts)), counts)
    if len(np.unique(columns * n_rows + rows)) != n:
        raise UndecodableError("expected one value a place in a sparse array, got several.")
    matrix = np.zeros((n_rows, len(counts)), values.dtype)
    matrix[rows, columns] = values
    return matrix
