"""`Cube` and `read_cube`: one door for every format; imports the errors and `cuvis_ai.data`.

Which reader takes a file is told by its first bytes, then by a header beside it, then by its suffix, so
that an ENVI data file may have any extension. A new format is one file in `formats` and one line here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cuvis_ai.data.cube_array import CubeArray
from cuvis_ai.data.formats import cu3s, envi, hdf5, matlab, npy, tiff, zarr_store
from cuvis_ai.data.formats.contents import CubeContents
from cuvis_ai.data.wavelengths import Nanometres, nanometres
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError

_Read = Callable[[Path, str | None], CubeContents]

_BY_FIRST_BYTES: dict[bytes, _Read] = {
    b"\x93NUMPY": npy.read,
    b"MATLAB": matlab.read,
    b"II*\0": tiff.read,
    b"MM\0*": tiff.read,
    b"II+\0": tiff.read,
    b"MM\0+": tiff.read,
    b"ENVI": envi.read,
    b"\xef\xbb\xbfENVI": envi.read,
}
_BY_SUFFIX: dict[str, _Read] = {
    ".mat": matlab.read,
    ".npy": npy.read,
    ".npz": npy.read,
    ".tif": tiff.read,
    ".tiff": tiff.read,
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5", ".nc", ".nc4"), hdf5.read),
    ".zarr": zarr_store.read,
    ".zip": zarr_store.read,
    ".cu3s": cu3s.read,
    ".hdr": envi.read,
}


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
    contents = _reader(path)(path, None if key is None else str(key))
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


def _reader(path: Path) -> _Read:
    """Return the reader for a file or folder."""
    if path.is_dir():
        if zarr_store.is_store(path):
            return zarr_store.read
        raise CubeFormatError(f"{path}: expected a file or a zarr store, got a folder. Pass a file in it.")
    with path.open("rb") as file:
        begin = file.read(16)
    for first_bytes, read in _BY_FIRST_BYTES.items():
        if begin.startswith(first_bytes):
            return read
    suffix = path.suffix.lower()
    if matlab.is_hdf5(path):
        return hdf5.read
    if suffix not in _BY_SUFFIX and begin.startswith(b"CDF"):
        suffix = ".nc"
    if suffix in (".nc", ".nc4") and begin.startswith(b"CDF"):
        raise CubeFormatError(
            f"{path}: expected NetCDF 4, got the classic format. Convert it with "
            f"`nccopy -k nc4 {path.name} new.nc`."
        )
    if envi.header_beside(path) is not None:
        return envi.read
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    raise CubeFormatError(
        f"{path}: expected {', '.join(_BY_SUFFIX)} or an ENVI data file with its header beside it, "
        f"got a file of {path.stat().st_size} bytes that begins with {begin!r}. Convert it to one of these."
    )


def _check_count(path: Path, what: str, n: int, shape: tuple[int, int, int]) -> None:
    if n != shape[2]:
        raise CubeFormatError(
            f"{path}: expected {shape[2]} {what}, one a band of the cube {shape}, got {n}. "
            "Correct the file; a header of another cube is the likeliest cause."
        )
