"""`Cube` and `read_cube`, for files of every format."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cuvis_ai.data.cube_array import CubeArray
from cuvis_ai.data.format_search import format_of, known_formats
from cuvis_ai.data.header_facts import header_facts
from cuvis_ai.data.sources.axes import ORDERS, OrderedSource, axis_order
from cuvis_ai.data.sources.contents import CubeContents, Validity
from cuvis_ai.data.sources.decoding import decoding
from cuvis_ai.data.sources.georeference import Georeference
from cuvis_ai.data.sources.scaling import Scaling
from cuvis_ai.data.sources.urls import Url, url_of
from cuvis_ai.data.wavelengths import Nanometres, nanometres
from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError, import_extra
from cuvis_ai.html_table import facts_table
from cuvis_ai.paths import StrPath

if TYPE_CHECKING:
    from xarray import DataArray

_log = logging.getLogger(__name__)
_LONGEST = 2**31 - 1
"""Positions on an axis that any array on disk has; indices of longer ones would not fit into memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cube:
    """A hyperspectral cube on disk with what its file says about it."""

    values: CubeArray
    """(h, w, c), read when indexed, in the file's number type; never scaled."""
    wavelengths: Nanometres | None = field(repr=False)
    """Band centres in nm, (c,)."""
    bad_bands: npt.NDArray[np.bool_] | None = field(repr=False)
    """(c,), True where the file calls a band bad."""
    validity: Validity = field(repr=False)
    """Which values and pixels the file calls measurements."""
    georeference: Georeference | None = field(repr=False, default=None)
    """Where the pixels are on a map, if the file says it."""
    scaling: Scaling = field(repr=False, default_factory=Scaling)
    """Scale factors and unit as the file declares them."""
    doubts: Mapping[str, str] = field(repr=False)
    """What was assumed, or left out as faulty, in words, by the option that overrules it."""
    path: Path
    """Where it was read from; of an array in memory its name."""

    @property
    def no_data(self) -> float | None:
        """The first value that stands for "not measured"; may be NaN."""
        return next(iter(self.validity.no_data), None)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        return self.values.shape

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The number type of the values."""
        return self.values.dtype

    def facts(self) -> list[tuple[str, str]]:
        """Return what the header says, each fact by its name, in words; no pixel is read.

        Example:
            >>> dict(read_cube("scene.hdr").facts())["georeference"]
            'none'
        """
        return list(header_facts(self))

    def _repr_html_(self) -> str:
        """Return the facts as a table, for notebooks."""
        return facts_table(f"Cube {self.path.name}", self.facts())

    def to_xarray(self) -> "DataArray":
        """Return the cube in memory as a DataArray with dimensions y, x and band.

        Values are those of the file, not scaled; coordinates along `band` are `wavelength` in nm and
        `good_band`, where the file has them; the no-data value stands in `encoding["_FillValue"]`, one scale
        factor of all bands and the unit in `attrs`.

        Raises:
            MissingExtraError: xarray is not installed.
        """
        xarray = import_extra("xarray", "xarray", "Cube.to_xarray()")
        coordinates: dict[str, Any] = {}
        if self.wavelengths is not None:
            coordinates["wavelength"] = ("band", self.wavelengths, {"units": "nm"})
        if self.bad_bands is not None:
            coordinates["good_band"] = ("band", ~self.bad_bands)
        array: DataArray = xarray.DataArray(
            np.asarray(self.values), dims=("y", "x", "band"), coords=coordinates, name=self.path.stem
        )
        if self.scaling.converts and len({*self.scaling.gain}) == len({*self.scaling.offset}) == 1:
            array.attrs |= {"scale_factor": self.scaling.gain[0], "add_offset": self.scaling.offset[0]}
        if self.scaling.unit is not None:
            array.attrs["units"] = self.scaling.unit
        with np.errstate(all="ignore"):
            no_data = [np.asarray(value).astype(self.dtype)[()] for value in self.validity.no_data]
        if held := [a for a, b in zip(no_data, self.validity.no_data, strict=True) if a == b or b != b]:
            array.encoding["_FillValue"] = held[0]
        return array


def read_cube(
    path: StrPath,
    key: str | int | None = None,
    *,
    axes: str | None = None,
    wavelengths: Sequence[float] | None = None,
) -> Cube:
    """Return the cube in a file; its values stay on disk until they are indexed.

    ENVI (header or data file), MATLAB, .npy, .npz, TIFF, HDF5, NetCDF 4, zarr and .cu3s. Arrays are taken as
    (h, w, c), and a TIFF's pages as bands, unless the file says otherwise: by the names of its dimensions,
    or by wavelengths that fit another axis only. What is assumed so, and optional fields that are left out
    as faulty, are logged as warnings.

    Args:
        path: the file, or a zarr store's folder; or, as text, the URL of a TIFF or zarr store ("https://…/a.tif",
            "s3://…"), which fsspec opens with the package that it names for the protocol.
        key: the array's name in a file of several, or the number of a .cu3s session's measurement; None:
            the only array with 3 axes.
        axes: the order of the array's axes, as its writer saw them, such as "chw": h rows, w columns, c
            bands; it overrules all but formats that define the order: ENVI, .cu3s, one multi-band TIFF image.
        wavelengths: band centres in nm, in place of the file's own.

    Raises:
        DatasetNotFoundError: there is no such file.
        CubeFormatError: it cannot be read as a cube, or holds several and no key is given.
        ConfigError: `axes` is no order of h, w and c, or `wavelengths` are not one a band.
        MissingExtraError: an optional package is needed; the message says which.

    Example:
        >>> cube = read_cube("scene.hdr")
        >>> cube.shape, cube.values[:10, :10].shape, cube.wavelengths[:2].tolist()
        ((40, 30, 8), (10, 10, 8), [450.0, 500.0])
    """
    cube = open_cube(path, key, axes=axes, wavelengths=wavelengths)
    if wavelengths is not None and len(wavelengths) != cube.shape[2]:
        raise ConfigError(
            f"{path}: expected {cube.shape[2]} `wavelengths`, one a band of {cube.shape}, "
            f"got {len(wavelengths)}. Give the centres of all bands."
        )
    log_doubts(cube)
    return cube


_REMEDY = "; {0} left out. Correct the file, or pass {0}="
_REMEDIES = {
    "axes": ", or pass axes=",
    "scaled": "; left out, numbers stay as they are stored. Correct the file",
    "map info": "; left out. Correct the file",
}


def log_doubts(cube: Cube, overruled: Collection[str] = ()) -> None:
    """Log what was assumed about a cube, or left out as faulty, but for what the user's options overrule."""
    for option, doubt in cube.doubts.items():
        if option not in overruled:
            _log.warning("%s: %s%s.", cube.path, doubt, _REMEDIES.get(option, _REMEDY.format(option)))


def open_cube(
    path: StrPath,
    key: str | int | None = None,
    *,
    axes: str | None = None,
    wavelengths: Sequence[float] | None = None,
) -> Cube:
    """Return a cube as `read_cube` does, its doubts unlogged: for one of many files of a data set."""
    url, path = url_of(path), Path(path)
    if axes not in (None, *ORDERS):
        raise ConfigError(f"`axes`: expected one of {', '.join(ORDERS)}, got {axes!r}. Name each axis once.")
    if url is not None:
        contents = _contents_of_url(url, None if key is None else str(key))
        return cube_of(contents, path, axes=axes, wavelengths=wavelengths)
    if not path.exists():
        raise DatasetNotFoundError(f"{path}: expected a cube, got no such file or folder. Correct the path.")
    with decoding(path):
        contents = format_of(path).read(path, None if key is None else str(key))
    return cube_of(contents, path, axes=axes, wavelengths=wavelengths)


def _contents_of_url(url: Url, key: str | None) -> CubeContents:
    """Return what a file behind a URL says; errors name it as the user wrote it."""
    suffix = Path(url.partition("?")[0]).suffix.lower()
    remote = {ending: one.read_url for one in known_formats() for ending in one.suffixes if one.read_url}
    if suffix not in remote:
        raise CubeFormatError(
            f"{url}: expected a URL that ends in {', '.join(remote)}, got one of a format that is read from "
            "local files alone. Copy the file to this machine first."
        )
    try:
        with decoding(Path(url)):
            return remote[suffix](url, key)
    except CubeFormatError as err:
        raise CubeFormatError(str(err).replace(str(Path(url)), url)) from err


def cube_of(
    contents: CubeContents,
    path: Path,
    *,
    axes: str | None = None,
    wavelengths: Sequence[float] | None = None,
) -> Cube:
    """Return a cube from what its file, or an array in memory, says about it.

    Args:
        contents: what it says.
        path: the file, for messages; of an array its name.
        axes: as in `read_cube`.
        wavelengths: as in `read_cube`; their number is not checked.

    Raises:
        CubeFormatError: the cube has no value.
    """
    if 0 in contents.source.shape:
        raise CubeFormatError(
            f"{path}: expected a cube (h, w, c) with at least one value, got {contents.source.shape}."
        )
    if max(contents.source.shape) > _LONGEST:
        raise CubeFormatError(
            f"{path}: expected at most {_LONGEST} rows, columns or bands, got more of one: a damaged "
            "header. Copy the file again."
        )
    centres = contents.wavelengths if wavelengths is None else wavelengths
    said = contents.axes if contents.fixed or axes is None else axes
    n_bands = None if centres is None else len(centres)
    order, doubt = axis_order(contents.source.shape, said, contents.usual_axes, n_bands)
    values = CubeArray(OrderedSource(path=path, source=contents.source, axes=order))
    optional = _Optional(path, values.shape[2], dict(contents.faults))
    return Cube(
        values=values,
        wavelengths=optional.wavelengths(contents)
        if wavelengths is None
        else np.asarray(wavelengths, np.float64),
        bad_bands=optional.bad_bands(contents.good_bands),
        validity=contents.validity,
        georeference=contents.georeference if order == "hwc" else None,
        scaling=optional.scaling(contents.scaling),
        doubts=optional.doubts | ({"axes": doubt} if doubt else {}),
        path=path,
    )


@dataclass
class _Optional:
    """The fields without which a cube can be read, and what is wrong with them."""

    path: Path
    n_bands: int
    doubts: dict[str, str]

    def wavelengths(self, contents: CubeContents) -> Nanometres | None:
        centres = self._of_bands("wavelengths", contents.wavelengths)
        if centres is None:
            return None
        try:
            return nanometres(centres, contents.wavelength_units, str(self.path))
        except CubeFormatError as err:
            self.doubts["wavelengths"] = str(err).removeprefix(f"{self.path}: ").rstrip(".")
            return None

    def bad_bands(self, flags: Sequence[float] | None) -> npt.NDArray[np.bool_] | None:
        flags = self._of_bands("bad_bands", flags)
        return None if flags is None else np.asarray(flags) == 0

    def scaling(self, scaling: Scaling) -> Scaling:
        if scaling.fits(self.n_bands):
            return scaling
        self.doubts["scaled"] = f"expected scale factors for {self.n_bands} bands, got {scaling}"
        return Scaling()

    def _of_bands(self, option: str, values: Sequence[float] | None) -> Sequence[float] | None:
        """The values, if there is one a band."""
        if values is None or len(values) == self.n_bands:
            return values
        what = {"bad_bands": "bad-band flags (bbl)"}.get(option, option)
        self.doubts[option] = f"expected {self.n_bands} {what}, one a band, got {len(values)}"
        return None
