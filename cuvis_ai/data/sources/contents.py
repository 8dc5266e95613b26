"""`CubeContents`: a cube as its file declares it, before units and counts are checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""An array of any number type."""


class BlockSource(Protocol):
    """A cube on disk that gives out boxes of itself. It can be pickled, and holds no open file."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The number type on disk, in any byte order."""

    def read(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return a fresh, writable copy of one box.

        Args:
            rows: start and stop within the cube, stop > start, no step.
            columns: likewise.
            bands: likewise.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class CubeContents:
    """A cube as its file declares it."""

    source: BlockSource
    """The values."""
    wavelengths: Sequence[float] | None = None
    """Band centres in the file's unit."""
    wavelength_units: str | None = None
    """That unit's name as the file writes it; None: undeclared."""
    good_bands: Sequence[float] | None = None
    """ENVI's `bbl`: 0 where a band is bad."""
    no_data: float | None = None
    """The value that stands for "not measured"."""
