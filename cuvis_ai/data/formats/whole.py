"""Cubes whose format can only be decoded as a whole.

The last decoded cube of the process is kept, so that reading it block by block decodes it once, and going
through a folder of such cubes holds one at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.formats.contents import Array

Decode = Callable[[Path, str], Array]
"""A module's function that returns the array under a key of a file."""


@lru_cache(maxsize=1)
def _decoded(decode: Decode, path: Path, key: str, changed: int) -> Array:
    """Return the decoded array; `changed`, the file's time stamp, makes a rewritten file a new one."""
    return decode(path, key)


@dataclass(frozen=True, kw_only=True)
class WholeSource:
    """A cube that is decoded when first read.

    Args:
        path: the file.
        key: which array of the file.
        shape: (h, w, c).
        order: the axes of `shape` as the decoded array has them.
        decode: decodes it; a function of a module, so that the source can be pickled.
    """

    path: Path
    key: str
    shape: tuple[int, int, int]
    order: tuple[int, int, int]
    decode: Decode

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The number type; asking decodes the file."""
        return self._array().dtype

    def read(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return a copy of one box."""
        return self._array()[rows, columns, bands].copy(order="K")

    def _array(self) -> Array:
        array = _decoded(self.decode, self.path, self.key, self.path.stat().st_mtime_ns)
        return array.transpose(np.argsort(self.order))
