"""HDF5, NetCDF 4 and MATLAB 7.3, through h5py.

The file is opened for each block: an HDF5 handle survives neither a fork nor pickling.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.formats.contents import Array, CubeContents
from cuvis_ai.data.formats.members import Member, axis_order, contents, cube_key, cube_shape, is_numeric
from cuvis_ai.errors import CubeFormatError, import_extra


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube in an HDF5 or NetCDF 4 file; scale factors are not applied.

    Raises:
        CubeFormatError: it holds no data set of 3 axes, or several and no key.
        MissingExtraError: h5py is not installed.
    """
    arrays = members(path)
    name = cube_key(path, arrays, key)
    h5py = import_extra("h5py", "hdf5", f"reading {path}")
    with h5py.File(path, "r") as file:
        dtype = file[name].dtype
        reverse = _is_matlab(path, file[name])
    order = axis_order(arrays, name)
    source = Hdf5Source(
        path=path,
        key=name,
        shape=cube_shape(arrays, name),
        dtype=dtype,
        order=order[::-1] if reverse else order,
    )
    return contents(arrays, name, source)


def members(path: Path) -> dict[str, Member]:
    """Return the numeric data sets by their path in the file, axes as their writer saw them."""
    h5py = import_extra("h5py", "hdf5", f"reading {path}")
    found: dict[str, Member] = {}

    def visit(name: str, node: Any) -> None:
        # MATLAB keeps what its cells and objects point to in `#refs#` and `#subsystem#`.
        if (
            not name.startswith("#")
            and isinstance(node, h5py.Dataset)
            and node.shape is not None
            and is_numeric(node.dtype)
        ):
            found[name] = _member(path, name, node)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except OSError as err:
        raise CubeFormatError(
            f"{path}: expected an HDF5 file ({path.stat().st_size} bytes), got: {err}."
        ) from err
    return found


def _member(path: Path, name: str, node: Any) -> Member:
    dimensions = tuple(_dimension_name(axis) for axis in node.dims)
    shape = tuple(node.shape)
    if _is_matlab(path, node):
        shape, dimensions = shape[::-1], ()
    return Member(
        shape=shape, load=partial(_load, path, name), attributes=_readable(node.attrs), dimensions=dimensions
    )


def _is_matlab(path: Path, node: Any) -> bool:
    """MATLAB counts axes from the fastest on, HDF5 from the slowest."""
    return path.suffix.lower() == ".mat" or "MATLAB_class" in node.attrs


def _dimension_name(axis: Any) -> str | None:
    """Return an axis's label, or the name of the scale attached to it, as NetCDF does."""
    if axis.label:
        return str(axis.label)
    return str(axis[0].name).rpartition("/")[2] if len(axis) else None


def _readable(attributes: Any) -> dict[str, Any]:
    """Return the attributes that are numbers or text; references and the like say nothing here."""
    h5py = import_extra("h5py", "hdf5", "reading HDF5")
    types = {name: attributes.get_id(name).dtype for name in attributes}
    return {
        name: attributes[name]
        for name, dtype in types.items()
        if is_numeric(dtype) or h5py.check_string_dtype(dtype) is not None
    }


def _load(path: Path, key: str) -> Array:
    """Return one data set, axes as its writer saw them."""
    h5py = import_extra("h5py", "hdf5", f"reading {path}")
    with h5py.File(path, "r") as file:
        array: Array = file[key][()]
        return array.T if _is_matlab(path, file[key]) else array


@dataclass(frozen=True, kw_only=True)
class Hdf5Source:
    """A data set of an HDF5 file.

    Args:
        path: the file.
        key: the data set's path in it.
        shape: (h, w, c).
        dtype: its number type.
        order: the axes of `shape` as the data set has them.
    """

    path: Path
    key: str
    shape: tuple[int, int, int]
    dtype: "np.dtype[Any]"
    order: tuple[int, int, int]

    def read(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return one box; chunks that it touches are decoded once."""
        h5py = import_extra("h5py", "hdf5", f"reading {self.path}")
        box = tuple((rows, columns, bands)[axis] for axis in self.order)
        with h5py.File(self.path, "r") as file:
            block: Array = file[self.key][box]
        return block.transpose(np.argsort(self.order))
