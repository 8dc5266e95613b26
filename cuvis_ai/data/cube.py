"""`Cube` and `read_cube`, for files of every format."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cuvis_ai.data.cube_array import CubeArray
from cuvis_ai.data.format_search import format_of
from cuvis_ai.data.wavelengths import Nanometres, nanometres
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError


@dataclass(frozen=True, kw_only=True, eq=False)
class Cube:
    """A hyperspectral cube on disk with what its file says about it."""

    values: CubeArray
    """(h, w, c), read when indexed, in the file's number type; never scaled."""
    wavelengths: Nanometres | None = field(repr=False)
    """Band centres in nm, (c,)."""
    bad_bands: npt.NDArray[np.bool_] | None = field(repr=False)
    """(c,), True where the file calls a band bad."""
    no_data: float | None
    """The value that stands for "not measured"; may be NaN."""
    path: Path
    """Where it was read from."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        return self.values.shape

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The number type of the values."""
        return self.values.dtype


def read_cube(path: str | Path, key: str | int | None = None) -> Cube:
    """Return the cube in a file; its values stay on disk until they are indexed.

    ENVI (header or data file), MATLAB, .npy, .npz, TIFF, HDF5, NetCDF 4, zarr and .cu3s. Arrays are taken as
    (h, w, c), unless the file names another axis as the bands, or its wavelengths fit another axis only.

    Args:
        path: the file, or a zarr store's folder.
        key: the array's name in a file of several, or the number of a .cu3s session's measurement; None:
            the only array with 3 axes.

    Raises:
        DatasetNotFoundError: there is no such file.
        CubeFormatError: it cannot be read as a cube, or holds several and no key is given.
        MissingExtraError: an optional package is needed; the message says which.

    Example:
        >>> cube = read_cube("scene.hdr")  # doctest: +SKIP
        >>> cube.values[:256, :256].shape  # doctest: +SKIP
        (256, 256, 224)
    """
    path = Path(path)
    if not path.exists():
        raise DatasetNotFoundError(f"{path}: expected a cube, got no such file or folder. Correct the path.")
    contents = format_of(path).read(path, None if key is None else str(key))
    shape = contents.source.shape
    if 0 in shape:
        raise CubeFormatError(f"{path}: expected a cube (h, w, c) with at least one value, got {shape}.")
    wavelengths = None
    if contents.wavelengths is not None:
        _check_count(path, "wavelengths", len(contents.wavelengths), shape)
        wavelengths = nanometres(contents.wavelengths, contents.wavelength_units, str(path))
    if contents.good_bands is not None:
        _check_count(path, "bad-band flags (bbl)", len(contents.good_bands), shape)
    return Cube(
        values=CubeArray(contents.source),
        wavelengths=wavelengths,
        bad_bands=None if contents.good_bands is None else np.asarray(contents.good_bands) == 0,
        no_data=contents.no_data,
        path=path,
    )


def _check_count(path: Path, what: str, n: int, shape: tuple[int, int, int]) -> None:
    if n != shape[2]:
        raise CubeFormatError(
            f"{path}: expected {shape[2]} {what}, one a band of the cube {shape}, got {n}. "
            "Correct the file; a header of another cube is the likeliest cause."
        )
