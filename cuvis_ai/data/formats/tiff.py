"""Multi-band TIFF and GeoTIFF through rasterio.

GDAL goes by a file's content and knows some 150 formats, of which some read other files or open connections.
So a file, its pages and its mask are opened as TIFF and nothing else, and a page is a number, never a name.

Several pages with one band each, as microscopes write, are the bands, unless the description says otherwise.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cuvis_ai.data.sources.contents import Array, CubeContents, Validity
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.data.sources.decoding import decoding
from cuvis_ai.data.sources.georeference import Georeference
from cuvis_ai.data.sources.remote_file import Location, RemoteFile, size_of
from cuvis_ai.data.sources.scaling import Scaling
from cuvis_ai.data.sources.tiff_chain import count_directories
from cuvis_ai.data.sources.tiff_tags import good_bands, page_axes, wavelengths
from cuvis_ai.data.sources.urls import Url
from cuvis_ai.errors import CubeFormatError, import_extra

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_REMOTE = "/remote.tif"
"""What GDAL calls a file that it is handed, without a scheme or a server."""
_CACHE = 64 << 20
"""Bytes of decoded tiles that GDAL may keep; its default is a twentieth of the machine's memory."""


def read(path: Location, key: str | None) -> CubeContents:
    """Return the cube in a TIFF file, or behind a URL; scales and offsets are not applied.

    Wavelengths come from each band's `CENTRAL_WAVELENGTH_UM` (GDAL's IMAGERY domain), its `wavelength`
    tag, its description ("450.5 nm"), or the file's `wavelength` tag with a list; bad bands from `bbl`.
    A band whose colour interpretation is alpha is no band, but the mask of measured pixels, as are GDAL's
    masks inside the file or beside it (.msk).

    Raises:
        CubeFormatError: it is no TIFF file, or its bands differ in size or number type.
        MissingExtraError: rasterio is not installed.
    """
    if key is not None:
        raise CubeFormatError(
            f"{path}: expected no key=, as a TIFF file holds one cube without a name, got {key!r}. "
            "Leave key= out."
        )
    with _opened(path) as file:
        if file.count == 1 and file.subdatasets:
            if isinstance(path, RemoteFile):
                raise CubeFormatError(
                    f"{path}: expected one image of all bands, got {len(file.subdatasets)} pages, which are "
                    "read from local files alone. Copy the file to this machine first."
                )
            pages = _page_names(path, file.subdatasets)
            return _pages(path, pages, replace(_validity(path, file), measured=None), file.tags())
        alpha = _alpha(file)
        bands = tuple(band for band in range(1, file.count + 1) if band != alpha)
        source = ImageSource(
            path=path,
            bands=bands,
            shape=(file.height, file.width, len(bands)),
            dtype=_dtype(path, file.dtypes),
        )
        (centres, units), flags = wavelengths(file, bands), good_bands(file, bands)
        return CubeContents(
            source=source,
            axes="hwc",
            fixed=True,
            wavelengths=centres,
            wavelength_units=units,
            good_bands=flags if isinstance(flags, list) else None,
            validity=_validity(path, file),
            georeference=_georeference(file),
            scaling=_scaling(file, bands),
            faults={"bad_bands": flags} if isinstance(flags, str) else {},
        )


def read_url(url: Url, key: str | None) -> CubeContents:
    """Return the cube in a TIFF file behind a URL; the masks that may lie beside it are not read.

    Raises:
        DatasetNotFoundError: there is none, or the server does not answer.
        CubeFormatError: as `read`, or it has several pages.
        MissingExtraError: rasterio, or what fsspec needs for this protocol, is not installed.
    """
    remote = RemoteFile(url)
    remote.check()
    return read(remote, key)


def black_indices(path: Path | Url) -> list[int] | None:
    """Return the indices of a palette that stand for black; None for a TIFF without a palette."""
    with _opened(path if isinstance(path, Path) else RemoteFile(path)) as file:
        if "palette" not in {kind.name for kind in file.colorinterp}:
            return None
        palette = file.colormap(1)
    return [index for index, (red, green, blue, _) in palette.items() if not (red or green or blue)]


def _page_names(path: Path, listed: Sequence[str]) -> tuple[str, ...]:
    """Return GDAL's names of a file's pages, in order, after looking that none is elsewhere.

    Raises:
        CubeFormatError: one of them is elsewhere, or cannot be read.
    """
    found = [re.fullmatch(r"GTIFF_DIR:(\d+):(.*)", name, re.DOTALL) for name in listed]
    numbers = sorted(int(match[1]) for match in found if match and match[2] == _gdal_name(path))
    if len(numbers) != len(listed):
        raise CubeFormatError(
            f"{path}: expected pages inside the file, got metadata that name others. "
            "It wants other files or servers to be read: do not trust it."
        )
    for left_out in sorted(set(range(1, count_directories(path) + 1)) - set(numbers)):
        with _opened(path, f"GTIFF_DIR:{left_out}:{_gdal_name(path)}"):
            pass  # a smaller copy of a page is left out, too, and can be opened
    return tuple(f"GTIFF_DIR:{number}:{_gdal_name(path)}" for number in numbers)


def _gdal_name(path: Path) -> str:
    """Return a name that GDAL takes for a local file: it begins with a slash, not with a scheme."""
    return str(path.absolute())


def _pages(path: Path, pages: tuple[str, ...], validity: Validity, tags: dict[str, str]) -> CubeContents:
    """Return the cube of a file with one band, or one row of the scene, a page."""
    sizes, names, by_page = set(), [], []
    for page in pages:
        with _opened(path, page) as file:
            sizes.add((file.height, file.width, file.count))
            names += file.dtypes
            by_page.append(wavelengths(file, (1,)))
    if len(sizes) != 1 or max(sizes)[2] != 1:
        raise CubeFormatError(
            f"{path}: expected pages of one size with one band each, got (rows, columns, bands) "
            f"{sorted(sizes)[:4]}. Save the cube as one image."
        )
    height, width, _ = sizes.pop()
    axes, usual_axes = page_axes(tags.get("TIFFTAG_IMAGEDESCRIPTION", ""))
    listed = [centres[0] for centres, _ in by_page if centres]
    return CubeContents(
        source=PageSource(
            path=path, pages=pages, shape=(len(pages), height, width), dtype=_dtype(path, names)
        ),
        axes=axes,
        usual_axes=usual_axes,
        wavelengths=listed if len(listed) == len(pages) else None,
        wavelength_units=by_page[0][1],
        validity=validity,
    )


def _dtype(path: Location, names: Sequence[str]) -> "np.dtype[Any]":
    if len(set(names)) != 1 or "complex_int16" in names:
        raise CubeFormatError(f"{path}: expected one number type for all bands, got {sorted(set(names))}.")
    return np.dtype(names[0])


def _alpha(file: Any) -> int | None:
    """Return the number, from 1, of the band that is opacity by its colour interpretation."""
    kinds = [kind.name for kind in file.colorinterp]
    return kinds.index("alpha") + 1 if "alpha" in kinds and len(kinds) > 1 else None


def _scaling(file: Any, bands: Sequence[int]) -> Scaling:
    units = {file.units[band - 1] for band in bands} - {None, ""}
    return Scaling(
        gain=tuple(file.scales[band - 1] for band in bands),
        offset=tuple(file.offsets[band - 1] for band in bands),
        unit=units.pop() if len(units) == 1 else None,
    )


def _georeference(file: Any) -> Georeference | None:
    if file.transform.is_identity or file.transform.is_degenerate:
        return None
    return Georeference(transform=tuple(file.transform)[:6], crs=file.crs.to_wkt() if file.crs else None)


def _validity(path: Location, file: Any) -> Validity:
    """Return the no-data value, and a mask that is not made from it."""
    has_mask = _alpha(file) or "per_dataset" in {flag.name for flag in file.mask_flag_enums[0]}
    no_data = tuple({value for value in file.nodatavals if value is not None})
    return Validity(no_data=no_data, measured=partial(_measured, path) if has_mask else None)


def _measured(path: Location, rows: slice, columns: slice) -> npt.NDArray[np.bool_]:
    """Return where a file's own mask, or its alpha band, is not 0."""
    with decoding(path), _opened(path) as file:
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        alpha = _alpha(file)
        flags = file.read(alpha, window=window) if alpha else file.read_masks(1, window=window)
        return np.asarray(flags != 0)


def _check_beside(path: Path) -> None:
    """Raise a `CubeFormatError` if what lies beside as the file's mask or overviews is no TIFF."""
    for ending in (".msk", ".ovr", ".MSK", ".OVR"):
        beside = path.with_name(path.name + ending)
        if not beside.is_file():
            continue
        with beside.open("rb") as file:
            beginning = file.read(4)
        if beginning not in _SIGNATURES:
            raise CubeFormatError(
                f"{path}: expected a TIFF as {beside.name} beside it, got a file that begins with "
                f"{beginning!r}. Remove it or convert it."
            )


@contextmanager
def _opened(path: Location, page: str | None = None) -> Iterator[Any]:
    """Open a file, or one page of it, with a small cache and no warning that it has no map position."""
    name = _REMOTE
    remote: AbstractContextManager[Any] = nullcontext()
    if isinstance(path, RemoteFile):
        remote = path.opener(_REMOTE)
    else:
        _check_beside(path)
        name = page or _gdal_name(path)
    rasterio = import_extra("rasterio", "geo", f"reading {path}")
    with remote as opener, warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        try:
            file = rasterio.open(name, driver="GTiff", opener=opener)
        except rasterio.errors.RasterioIOError as err:
            raise CubeFormatError(
                f"{path}: expected a TIFF file ({size_of(path)} bytes), got: {err}."
            ) from err
        with file:
            yield file


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """Bands of a TIFF's one image, opened for each block so that it can be pickled and forked.

    Args:
        path: the file.
        bands: their numbers in the file, from 1.
        shape: (h, w, c).
        dtype: their number type.
    """

    path: Location
    bands: tuple[int, ...]
    shape: tuple[int, int, int]
    dtype: "np.dtype[Any]"

    def read(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return one box; its memory order is band by band."""
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        first = ((rows.start, rows.start + 1), (columns.start, columns.start + 1))
        with _opened(self.path) as file:
            file.read(self.bands[bands][0], window=first)  # all bands of a damaged block fail one by one
            block: Array = file.read(self.bands[bands], window=window)
        return block.transpose(1, 2, 0)


@dataclass(frozen=True, kw_only=True)
class PageSource:
    """The pages of a TIFF, with one band each.

    Args:
        path: the file.
        pages: GDAL's names of them, in order.
        shape: (pages, rows, columns).
        dtype: their number type.
    """

    path: Path
    pages: tuple[str, ...]
    shape: tuple[int, int, int]
    dtype: "np.dtype[Any]"

    def read(self, pages: slice, rows: slice, columns: slice) -> Array:
        """Return one box."""
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        images = []
        for page in self.pages[pages]:
            with _opened(self.path, page) as file:
                images.append(file.read(1, window=window))
        return np.stack(images)


FORMAT = CubeFormat(
    read=read,
    read_url=read_url,
    suffixes=(".tif", ".tiff"),
    signatures=tuple((0, begin) for begin in _SIGNATURES),
)
