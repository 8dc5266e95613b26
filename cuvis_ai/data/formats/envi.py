"""ENVI: a text header beside a raw binary file.

The header is parsed here, not by SPy: SPy refuses a missing byte order, which GDAL takes as little-endian,
reads a mixed-case `Bil` as BSQ, and any unknown interleave too. The rules are these. A data file that is
shorter than the header says, and an interleave that is missing or unknown, are errors that print the
expected and the actual bytes. A data file that is longer is read from its beginning, as SPy and GDAL do,
and logged. A missing byte order is little-endian, a missing header offset 0. Scale factors are not applied.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cuvis_ai.data.sources.contents import Array, CubeContents, Validity
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.data.sources.envi_header import EnviHeader, header_fields
from cuvis_ai.data.sources.envi_map import georeference_of, map_fields
from cuvis_ai.data.sources.georeference import Georeference
from cuvis_ai.data.sources.raw import RawSource
from cuvis_ai.data.sources.scaling import Scaling
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError

_TYPES = {
    1: "u1",
    2: "i2",
    3: "i4",
    4: "f4",
    5: "f8",
    6: "c8",
    9: "c16",
    12: "u2",
    13: "u4",
    14: "i8",
    15: "u8",
}
_ORDERS = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}
_DATA_SUFFIXES = ("", ".img", ".dat", ".raw", ".bin", ".hyspex", ".bsq", ".bil", ".bip", ".cube", ".sli")
_log = logging.getLogger(__name__)


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube of an ENVI header or of the data file beside it.

    Raises:
        CubeFormatError: the header cannot be read, or does not fit the data file.
        DatasetNotFoundError: the header has no data file.
    """
    if key is not None:
        raise CubeFormatError(
            f"{path}: expected no key=, as an ENVI file holds one cube without a name, got {key!r}. "
            "Leave key= out."
        )
    header_path = _header_of(path)
    header = EnviHeader(header_path, header_fields(header_path))
    source = _source(header, None if path == header_path else path)
    wavelengths, bad, no_data = (
        _optional(header, name) for name in ("wavelength", "bbl", "data ignore value")
    )
    if len(set(no_data[0] or ())) > 1:
        no_data = None, f"expected one number for `data ignore value`, got {no_data[0]}"
    georeference, wrong = georeference_of(header.fields)
    scaling, unscaled = _scaling(header)
    faults = {
        "wavelengths": wavelengths[1],
        "bad_bands": bad[1],
        "no_data": no_data[1],
        "scaled": unscaled,
        "map info": wrong,
    }
    return CubeContents(
        source=source,
        axes="hwc",
        fixed=True,
        wavelengths=wavelengths[0],
        wavelength_units=header.fields.get("wavelength units"),
        good_bands=bad[0],
        validity=Validity(no_data=tuple(no_data[0] or ())[:1]),
        georeference=georeference,
        scaling=scaling,
        faults={option: fault for option, fault in faults.items() if fault},
    )


def _scaling(header: EnviHeader) -> tuple[Scaling, str | None]:
    """Return what the scale factor of reflectance, else gains and offsets, say, and what is wrong there."""
    names = ("reflectance scale factor", "data gain values", "data offset values")
    (divisor, *wrong), (gain, one), (offset, other) = (_optional(header, name) for name in names)
    fault = next(filter(None, (*wrong, one, other)), None)
    if divisor:
        return Scaling(gain=tuple(1 / one if one else 0.0 for one in divisor)), fault
    return Scaling(gain=tuple(gain or (1.0,)), offset=tuple(offset or (0.0,))), fault


def _header_of(path: Path) -> Path:
    """Return the header that a path is, or that lies beside it."""
    header_path = path if _is_header(path) else header_beside(path)
    if header_path is None and path.suffix.lower() == ".hdr":
        raise CubeFormatError(f"{path}: expected an ENVI header, whose first line is ENVI, got another file.")
    if header_path is None:
        raise CubeFormatError(
            f"{path}: expected an ENVI header {path.name}.hdr or {path.stem}.hdr beside it, got none. "
            "Copy the header there."
        )
    return header_path


def _optional(header: EnviHeader, name: str) -> tuple[list[float] | None, str | None]:
    """Return an optional field's numbers, and what is wrong with it, if they cannot be read."""
    try:
        return header.numbers(name), None
    except CubeFormatError:
        return None, f"expected numbers for `{name}`, got {header.fields[name][:60]!r}"


def _is_header(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"ENVI")


def header_beside(path: Path) -> Path | None:
    """Return the header of a data file, `cube.img.hdr` before `cube.hdr`; None if there is none."""
    for stem in (path.name, path.stem):
        for suffix in (".hdr", ".HDR"):
            header = path.with_name(stem + suffix)
            if header.is_file() and _is_header(header):
                return header
    return None


def _source(header: EnviHeader, data_path: Path | None) -> RawSource:
    """Return the data file's source after checking that it has the bytes the header promises."""
    if header.fields.get("file type", "").lower() == "envi spectral library":
        raise CubeFormatError(
            f"{header.path}: expected an image, got a spectral library: spectra without an image."
        )
    if header.count("file compression", least=0, default=0) or any(
        any(header.numbers(name) or []) for name in ("major frame offsets", "minor frame offsets")
    ):
        raise CubeFormatError(
            f"{header.path}: expected a plain data file, got one with compression or frame offsets. "
            "Save it without them in ENVI, or convert it with `gdal_translate -of ENVI`."
        )
    h, w, c = (header.count(name, least=1) for name in ("lines", "samples", "bands"))
    offset = header.count("header offset", least=0, default=0)
    dtype = _number_type(header)
    n_expected = offset + h * w * c * dtype.itemsize
    if data_path is None:
        data_path = _data_file(header.path, n_expected)
    n_bytes = data_path.stat().st_size
    sizes = f"expected {n_expected} bytes ({offset} + {h} × {w} × {c} × {dtype.itemsize}), got {n_bytes}"
    interleave = header.fields.get("interleave", "").partition(";")[0].strip().lower()
    if interleave not in _ORDERS:
        raise CubeFormatError(
            f"{header.path}: expected `interleave` to be bsq, bil or bip, got {interleave!r} "
            f"({data_path.name}: {sizes}). Write the order in which the sensor's software saved the file."
        )
    if n_bytes < n_expected:
        raise CubeFormatError(
            f"{data_path}: {sizes}. The file is cut short, or {header.path.name} is another file's header; "
            "copy it again, or correct lines, samples, bands, data type and header offset."
        )
    if n_bytes > n_expected:
        _log.warning("%s: %s; the bytes after it are left unread.", data_path, sizes)
    return RawSource(path=data_path, offset=offset, dtype=dtype, shape=(h, w, c), order=_ORDERS[interleave])


def _number_type(header: EnviHeader) -> "np.dtype[np.generic]":
    kind = header.count("data type", least=0)
    byte_order = header.count("byte order", least=0, default=0)
    if kind not in _TYPES:
        known = ", ".join(f"{number} ({np.dtype(name)})" for number, name in _TYPES.items())
        raise CubeFormatError(
            f"{header.path}: expected `data type` to be one of {known}, got {kind}. Correct it."
        )
    if byte_order not in (0, 1):
        raise CubeFormatError(
            f"{header.path}: expected `byte order` 0 (little-endian) or 1 (big), got {byte_order}."
        )
    return np.dtype("<>"[byte_order] + _TYPES[kind])


def _data_file(header_path: Path, n_expected: int) -> Path:
    """Return a header's data file: of those named like it, one of the expected size, else the likeliest."""
    stem = header_path.stem
    names = dict.fromkeys(stem + case for suffix in _DATA_SUFFIXES for case in (suffix, suffix.upper()))
    known = []
    for other in map(header_path.with_name, names):
        if other.is_file():
            if other.stat().st_size == n_expected:
                return other
            known.append(other)
    found = [  # a look at the whole folder, which may hold thousands of files, comes second
        other
        for other in sorted(header_path.parent.iterdir())
        if other.is_file() and other.suffix.lower() != ".hdr" and stem in (other.name, other.stem)
    ]
    fitting = [other for other in found if other.stat().st_size == n_expected]
    if fitting or known:
        return (fitting or known)[0]
    if len(found) == 1:
        return found[0]
    listing = ", ".join(f"{other.name} ({other.stat().st_size} bytes)" for other in found) or "none"
    raise DatasetNotFoundError(
        f"{header_path}: expected its data file, {stem} with any extension or none and {n_expected} bytes, "
        f"got {listing}. Put the data file beside the header, or read the data file by its own name."
    )


def write(
    header: Path,
    values: Array,
    *,
    description: str,
    wavelengths: Sequence[float] | None = None,
    band_names: Sequence[str] = (),
    no_data: float | None = None,
    georeference: Georeference | None = None,
) -> None:
    """Write a cube (h, w, c) as a header and, beside it, a little-endian .img file in BIP.

    Args:
        header: the header's path.
        values: of a number type that ENVI has.
        description: stands in the header.
        wavelengths: band centres in nm.
        band_names: one a band.
        no_data: the value that stands for "no data"; may be NaN.
        georeference: where the pixels are on a map.
    """
    h, w, c = values.shape
    kind = next(number for number, name in _TYPES.items() if np.dtype(name) == values.dtype)
    fields = (
        f"description = {{\n  {description}}}\nsamples = {w}\nlines = {h}\nbands = {c}\nheader offset = 0\n"
    )
    fields += f"file type = ENVI Standard\ndata type = {kind}\ninterleave = bip\nbyte order = 0\n"
    if wavelengths is not None:
        centres = " , ".join(str(centre) for centre in wavelengths)
        fields += f"wavelength = {{ {centres} }}\nwavelength units = Nanometers\n"
    if band_names:
        fields += f"band names = {{ {' , '.join(band_names)} }}\n"
    if no_data is not None:
        fields += f"data ignore value = {no_data}\n"
    if georeference is not None:
        fields += _place(georeference, description)
    stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    with header.with_suffix(".img").open("wb") as file:  # `tofile` hides that a disk is full
        file.write(stored.reshape(-1).view(np.uint8).data)
    header.write_text(f"ENVI\n{fields}", encoding="utf-8")


def _place(georeference: Georeference, description: str) -> str:
    """Return the lines of a header that say where pixels are on a map."""
    fields = map_fields(georeference)
    if not fields:
        _log.warning(
            "%s: written without its place on the map: a header cannot say a skewed or mirrored grid. A "
            "GeoTIFF can.",
            description,
        )
    return "".join(f"{name} = {{{value}}}\n" for name, value in fields.items())


FORMAT = CubeFormat(
    read=read,
    suffixes=(".hdr",),
    signatures=((0, b"ENVI"), (0, b"\xef\xbb\xbfENVI")),
    header_beside=header_beside,
    data_suffixes=_DATA_SUFFIXES,
)
