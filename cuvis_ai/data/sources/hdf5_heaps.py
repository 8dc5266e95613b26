"""Heaps of an HDF5 file, where texts of variable length lie: checked before HDF5 walks through them.

A heap is a row of objects, each of which says how long it is. HDF5 goes on by that length unchecked, and for
ever where it is 0.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from cuvis_ai.data.sources.decoding import UndecodableError

_SIGNATURE = b"GCOL\1"
_HEAD = 16
"""Bytes before the first object, and before what an object holds."""
_SEARCHED = 8 << 20
"""Bytes that are searched at each end of a file: a larger one is not read twice for its texts."""


def check_heaps(path: Path) -> None:
    """Raise an `UndecodableError` for a heap with an object that does not end in it, or in another heap."""
    size = path.stat().st_size
    with path.open("rb") as file:
        for start in dict.fromkeys((0, max(0, size - _SEARCHED))):
            file.seek(start)
            part = file.read(_SEARCHED)
            at, end = part.find(_SIGNATURE), 0
            while 0 <= at <= len(part) - _HEAD:
                # One within another is no text, and would be walked through twice.
                if at < end or not all(_lengths_fit(part, at)):
                    raise UndecodableError(
                        f"expected a heap of texts at byte {start + at}, got one with an object of a wrong "
                        "length."
                    )
                end = at + _length_of(part, at)
                at = part.find(_SIGNATURE, at + 1)


def _length_of(part: bytes, at: int) -> int:
    return int.from_bytes(part[at + 8 : at + _HEAD], "little")


def _lengths_fit(part: bytes, at: int) -> Iterator[bool]:
    """Yield for each object of the heap at a position whether it ends after it begins, and in the heap."""
    end = at + _length_of(part, at)
    at += _HEAD
    while at + _HEAD <= min(end, len(part)):
        index, length = struct.unpack_from("<H6xQ", part, at)
        # Index 0 is the free space, whose length counts its own head.
        whole = _HEAD + -(-length // 8) * 8 if index else length
        yield 0 < whole <= end - at
        at += max(whole, 1)
