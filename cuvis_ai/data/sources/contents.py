"""`CubeContents`: a cube as its file declares it, before units and counts are checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cuvis_ai.data.sources.georeference import Georeference
from cuvis_ai.data.sources.scaling import Scaling

Array = npt.NDArray[Any]
"""An array of any number type."""

PixelMask = Callable[[slice, slice], npt.NDArray[np.bool_]]
"""Returns, for rows and columns of a cube, where its pixels were measured (h, w)."""


class BlockSource(Protocol):
    """A cube on disk that gives out boxes of itself. It can be pickled, and holds no open file."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The number type on disk, in any byte order."""

    def read(self, rows: slice, columns: slice, bands: slice, /) -> Array:
        """Return a fresh, writable copy of one box.

        Args:
            rows: start and stop within the cube, stop > start, no step.
            columns: likewise.
            bands: likewise.
        """


@dataclass(frozen=True, kw_only=True, eq=False)
class Validity:
    """What a file says about values that are no measurements, in the numbers that it stores."""

    no_data: tuple[float, ...] = ()
    """Values that stand for "not measured"; may hold NaN."""
    least: float | None = None
    """Smallest value that is a measurement; None: any."""
    most: float | None = None
    """Largest value that is a measurement; None: any."""
    measured: PixelMask | None = None
    """The file's own mask of pixels; None: it has none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CubeContents:
    """A cube as its file declares it."""

    source: BlockSource
    """The values, axes in the order in which the file has them."""
    axes: str | None = None
    """That order, if the file says it, such as "chw"; None: it does not."""
    usual_axes: str | None = "hwc"
    """The order to assume where nothing says it; None: the axis that differs most is the bands."""
    fixed: bool = False
    """Whether the format defines the order, so that there is nothing to overrule."""
    wavelengths: Sequence[float] | None = None
    """Band centres in the file's unit."""
    wavelength_units: str | None = None
    """That unit's name as the file writes it; None: undeclared."""
    good_bands: Sequence[float] | None = None
    """ENVI's `bbl`: 0 where a band is bad."""
    validity: Validity = field(default_factory=Validity)
    """Which values and pixels are measurements."""
    georeference: Georeference | None = None
    """Where the pixels are on a map."""
    scaling: Scaling = field(default_factory=Scaling)
    """What the stored numbers stand for."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with an optional field that was left out, in words, by the option that replaces it."""
