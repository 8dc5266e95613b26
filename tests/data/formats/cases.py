"""One row a cube format: how a file of it is written without our code."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import rasterio
import scipy.io
import zarr

from tests.data import envi_files, fake_cuvis


@dataclass(frozen=True)
class Case:
    """A file of one format."""

    format: str
    """The module in `cuvis_ai.data.formats`."""
    file: str
    """The name of the file."""
    write: Callable[[Path, np.ndarray], object]
    """Writes values (h, w, c) to a path; what else there is, too."""
    dtype: str = "uint16"
    """The type of those values, for a format that holds no numbers of 16 bits."""


def _write_envi(path: Path, values: np.ndarray) -> None:
    content = envi_files.raw_bytes(values, "bil")
    envi_files.write(path.parent, envi_files.header(values, "bil"), content, f"{path.stem}.img")


def _write_hdf5(path: Path, values: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["cube"] = values


def _write_tiff(path: Path, values: np.ndarray) -> None:
    h, w, c = values.shape
    with rasterio.open(path, "w", driver="GTiff", height=h, width=w, count=c, dtype=values.dtype) as file:
        file.write(values.transpose(2, 0, 1))


CASES = [
    Case("cu3s", "cube.cu3s", lambda path, values: fake_cuvis.write_session(path, values[None])),
    Case("envi", "cube.hdr", _write_envi),
    Case("hdf5", "cube.h5", _write_hdf5),
    Case("matlab", "cube.mat", lambda path, values: scipy.io.savemat(path, {"cube": values})),
    Case("npy", "cube.npy", np.save),
    Case("tiff", "cube.tif", _write_tiff),
    Case("zarr_store", "cube.zarr", lambda path, values: zarr.create_array(path, data=values)),
]
