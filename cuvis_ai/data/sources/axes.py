"""The order of a cube's axes: what names and sizes say of it, and a source put in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.sources.contents import Array, BlockSource
from cuvis_ai.data.sources.decoding import decoding

ORDERS = tuple("".join(letters) for letters in permutations("hwc"))
"""All orders of height, width and channels."""

INTERLEAVES = {"bip": "hwc", "bil": "hcw", "bsq": "chw"}
"""These orders by the names that ENVI has for them."""

WAVELENGTHS = ("wavelengths", "wavelength", "wvl", "wl", "lambda")
"""Names of band centres."""

_NAMES = {
    "h": "h y row line lat latitude northing height downtrack along_track ydim",
    "w": "w x column col sample pixel lon longitude easting width crosstrack across_track xdim",
    "c": "c band channel spectral spectral_band number_of_band nband n_band wavenumber frequency feature",
}
_LETTERS = dict.fromkeys(WAVELENGTHS, "c") | {
    name: letter for letter, names in _NAMES.items() for one in names.split() for name in (one, f"{one}s")
}


def named_axes(names: Sequence[str | None]) -> str | None:
    """Return the order that three axes' names say; None if they do not.

    They say it if one is named for the bands, or two for rows and columns; an axis of another name takes
    the letter that is left, rows before columns.

    Example:
        >>> named_axes(["nbands", "y", "x"]), named_axes(["x", "y", "z"]), named_axes(["a", "b", "c"])
        ('chw', 'whc', 'hwc')
    """
    letters = [axis_letter(name) for name in names]
    known = [letter for letter in letters if letter]
    if len(letters) != 3 or len(set(known)) != len(known) or not ("c" in known or len(known) == 2):
        return None
    left = iter([letter for letter in "hwc" if letter not in known])
    return "".join(letter or next(left) for letter in letters)


def axis_letter(name: str | None) -> str | None:
    """Return h, w or c for an axis's name, None for a name that says nothing."""
    return _LETTERS.get((name or "").strip().lower())


def odd_axis(shape: Sequence[int]) -> int | None:
    """Return which of three axes differs from the other two, the closest pair; None if none does."""
    ratios = []
    for i in range(3):
        small, large = sorted(n for j, n in enumerate(shape) if j != i)
        ratios.append(large / max(small, 1))
    closest = min(ratios)
    return ratios.index(closest) if ratios.count(closest) == 1 else None


def axis_order(
    shape: Sequence[int], said: str | None, usual: str | None, n_bands: int | None
) -> tuple[str, str | None]:
    """Return the order of three axes, and why it is in doubt, in words; None: it is settled.

    Args:
        shape: of the array.
        said: the order that the user, or else the file, says.
        usual: the order to assume otherwise; None: the axis that differs most is the bands.
        n_bands: how many wavelengths are known; of the axes that are as long, an only one is the bands.
    """
    if said is not None:
        return said, None
    fitting = [i for i, n in enumerate(shape) if n == n_bands]
    odd = odd_axis(shape)
    assumed = usual or ("hwc" if odd == 2 else "chw")
    if len(fitting) == 1:
        spatial = assumed.replace("c", "")
        return spatial[: fitting[0]] + "c" + spatial[fitting[0] :], None
    if (usual is not None and odd in (None, usual.index("c"))) or assumed.index("c") in fitting:
        return assumed, None
    h, w, c = (shape[assumed.index(letter)] for letter in "hwc")
    return assumed, (
        f"nothing says which axis of {tuple(shape)} holds the bands; read as {h} rows, {w} columns and {c} "
        f'bands, axes="{assumed}". Confirm this order'
    )


@dataclass(frozen=True, kw_only=True)
class OrderedSource:
    """A source with its axes put in the order (h, w, c).

    Args:
        path: the file, for messages.
        source: a cube on disk with its axes in some order.
        axes: that order, such as "chw".
    """

    path: Path
    source: BlockSource
    axes: str

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        h, w, c = (self.source.shape[self.axes.index(letter)] for letter in "hwc")
        return h, w, c

    @cached_property
    def dtype(self) -> "np.dtype[Any]":
        """The number type on disk."""
        with decoding(self.path):
            return self.source.dtype

    def read(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return a copy of one box; its memory order is the source's.

        Raises:
            CubeFormatError: the file is damaged there.
        """
        first, second, third = ({"h": rows, "w": columns, "c": bands}[letter] for letter in self.axes)
        with decoding(self.path):
            values = self.source.read(first, second, third)
        return values.transpose([self.axes.index(x) for x in "hwc"])
