"""ENVI files as the format's definition lays them out, and their reading by SPy and GDAL."""

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import spectral.io.envi

CODES = {
    "u1": 1,
    "i2": 2,
    "i4": 3,
    "f4": 4,
    "f8": 5,
    "c8": 6,
    "c16": 9,
    "u2": 12,
    "u4": 13,
    "i8": 14,
    "u8": 15,
}
AXES = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}


def raw_bytes(values: np.ndarray, interleave: str, byte_order: int = 0) -> bytes:
    """Return the values as ENVI's definition of the interleave lays them out."""
    kind = values.dtype.newbyteorder("<>"[byte_order])
    return values.transpose(AXES[interleave]).astype(kind).tobytes()


def header(values: np.ndarray, interleave: str, byte_order: int = 0, /, **changes: Any) -> str:
    """Return a header; None takes a field out, underscores stand for blanks."""
    h, w, c = values.shape
    fields = {
        "samples": w,
        "lines": h,
        "bands": c,
        "header offset": 0,
        "data type": CODES[values.dtype.str[1:]],
        "interleave": interleave,
        "byte order": byte_order,
    } | {name.replace("_", " "): value for name, value in changes.items()}
    return "ENVI\n" + "".join(f"{name} = {value}\n" for name, value in fields.items() if value is not None)


def write(folder: Path, text: str, content: bytes, name: str = "scene.dat") -> Path:
    data = folder / name
    data.write_bytes(content)
    data.with_suffix(".hdr").write_text(text)
    return data


def by_spy(data: Path) -> np.ndarray | None:
    """Return SPy's reading without its scaling; None if it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = spectral.io.envi.open(str(data.with_suffix(".hdr")), str(data))
        except (spectral.io.envi.EnviException, ValueError, KeyError):
            return None
        image.scale_factor = 1
        return np.array(image.read_subregion((0, image.nrows), (0, image.ncols)))


def by_gdal(data: Path) -> np.ndarray | None:
    """Return GDAL's reading; None if it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(rasterio.errors.RasterioIOError), rasterio.open(data) as image:
            return image.read().transpose(1, 2, 0)
    return None
