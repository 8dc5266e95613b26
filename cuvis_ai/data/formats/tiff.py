"""Multi-band TIFF and GeoTIFF through rasterio.

A TIFF of several pages with one band each, as microscopes and array libraries write, is one band a page.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.sources.contents import Array, CubeContents
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.errors import CubeFormatError, import_extra

_CACHE = 64 << 20
"""Bytes of decoded tiles that GDAL may keep; its default is a twentieth of the machine's memory."""
_NUMBER = r"(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
_WITH_UNIT = re.compile(_NUMBER + r"\s*(nm|nanomet\w*|um|µm|μm|micromet\w*|microns?)\b", re.IGNORECASE)


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube in a TIFF file; scales and offsets are not applied.

    Wavelengths come from each band's `CENTRAL_WAVELENGTH_UM` (GDAL's IMAGERY domain), its `wavelength`
    tag, its description ("450.5 nm"), or the file's `wavelength` tag with a list.

    Raises:
        CubeFormatError: it is no TIFF file, or its bands differ in size or number type.
        MissingExtraError: rasterio is not installed.
    """
    if key is not None:
        raise CubeFormatError(
            f"{path}: a TIFF file holds one cube without a name, got key={key!r}. Leave key= out."
        )
    with _opened(path, str(path)) as file:
        pages = tuple(file.subdatasets) if file.count == 1 else ()
        shape = (file.height, file.width, len(pages) or file.count)
        names = set(file.dtypes)
        no_data = file.nodata
        wavelengths, units = _wavelengths(file)
    by_page = []
    for page in pages:
        with _opened(path, page) as file:
            if (file.height, file.width, file.count) != (*shape[:2], 1):
                raise CubeFormatError(
                    f"{path}: expected pages of one size with one band each, got {shape[:2]} and "
                    f"{(file.height, file.width)} with {file.count} bands. Save the cube as one image."
                )
            names.update(file.dtypes)
            by_page.append(_wavelengths(file))
    if pages and len(wavelengths or ()) != len(pages):
        wavelengths = (
            [found[0] for found, _ in by_page if found] if all(found for found, _ in by_page) else None
        )
    if len(names) != 1 or "complex_int16" in names:
        raise CubeFormatError(f"{path}: expected one number type for all bands, got {sorted(names)}.")
    source = TiffSource(path=path, pages=pages, shape=shape, dtype=np.dtype(names.pop()))
    return CubeContents(source=source, wavelengths=wavelengths, wavelength_units=units, no_data=no_data)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Any]:
    """Open a file, or one page of it, with a small cache and no warning that it has no map position."""
    rasterio = import_extra("rasterio", "geo", f"reading {path}")
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        try:
            file = rasterio.open(name)
        except rasterio.errors.RasterioIOError as err:
            raise CubeFormatError(
                f"{path}: expected a TIFF file ({path.stat().st_size} bytes), got: {err}."
            ) from err
        with file:
            yield file


def _wavelengths(file: Any) -> tuple[list[float] | None, str | None]:
    """Return the bands' wavelengths and their unit; all bands have one, or none counts."""
    bands = range(1, file.count + 1)
    microns = [file.tags(band, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM") for band in bands]
    if all(microns):
        return [float(value) for value in microns], "um"
    tags = [{name.lower(): value for name, value in file.tags(band).items()} for band in bands]
    units = tags[0].get("wavelength_units")
    if all(re.fullmatch(_NUMBER, tag.get("wavelength", "").strip()) for tag in tags):
        return [float(tag["wavelength"]) for tag in tags], units
    described = [_WITH_UNIT.search(text or "") for text in file.descriptions]
    found = [match.groups() for match in described if match]
    if len(found) == file.count and len({unit.lower() for _, unit in found}) == 1:
        return [float(value) for value, _ in found], found[0][1]
    for name, text in file.tags().items():
        values = re.findall(_NUMBER, text)
        if name.lower() in ("wavelength", "wavelengths") and len(values) > 1:
            return [float(value) for value in values], file.tags().get("wavelength_units")
    return None, None


@dataclass(frozen=True, kw_only=True)
class TiffSource:
    """The bands of a TIFF file, opened for each block so that it can be pickled and forked.

    Args:
        path: the file.
        pages: GDAL's names of the pages where each holds one band; empty: all bands are in one image.
        shape: (h, w, c).
        dtype: their number type.
    """

    path: Path
    pages: tuple[str, ...]
    shape: tuple[int, int, int]
    dtype: "np.dtype[Any]"

    def read(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return one box; its memory order is band by band."""
        window = ((rows.start, rows.stop), (columns.start, columns.stop))
        if not self.pages:
            with _opened(self.path, str(self.path)) as file:
                block: Array = file.read(range(bands.start + 1, bands.stop + 1), window=window)
            return block.transpose(1, 2, 0)
        images = []
        for page in self.pages[bands]:
            with _opened(self.path, page) as file:
                images.append(file.read(1, window=window))
        return np.stack(images).transpose(1, 2, 0)


FORMAT = CubeFormat(
    read=read,
    suffixes=(".tif", ".tiff"),
    signatures=tuple((0, begin) for begin in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
)
