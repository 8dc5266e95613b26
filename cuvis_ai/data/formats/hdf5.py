"""HDF5, NetCDF 4 and MATLAB 7.3, through h5py.

The file is opened for each block: an HDF5 handle survives neither a fork nor pickling.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.sources.contents import Array, CubeContents
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.data.sources.members import Member, cube_contents, is_numeric
from cuvis_ai.errors import CubeFormatError, import_extra

_CLASSIC = b"CDF"
SIGNATURES = tuple((start, b"\x89HDF\r\n\x1a\n") for start in (0, 512, 1024, 2048))
"""HDF5 may begin after a header of the file's own."""


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube in an HDF5 or NetCDF 4 file; scale factors are not applied.

    Raises:
        CubeFormatError: it holds no data set of 3 axes, or several and no key, or is classic NetCDF.
        MissingExtraError: h5py is not installed.
    """
    return cube_contents(path, members(path), key)


def members(path: Path) -> dict[str, Member]:
    """Return the numeric data sets by their path in the file, axes as their writer saw them."""
    with path.open("rb") as file:
        if file.read(len(_CLASSIC)) == _CLASSIC:
            raise CubeFormatError(
                f"{path}: expected NetCDF 4, got the classic format. Convert it with "
                f"`nccopy -k nc4 {path.name} new.nc`."
            )
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
        shape=shape,
        load=partial(_load, path, name),
        dtype=node.dtype,
        attributes=_readable(node.attrs),
        dimensions=dimensions,
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


def _load(path: Path, key: str, *box: slice) -> Array:
    """Return a box of one data set, axes as its writer saw them; chunks that it touches are decoded once."""
    h5py = import_extra("h5py", "hdf5", f"reading {path}")
    with h5py.File(path, "r") as file:
        if _is_matlab(path, file[key]):
            return np.asarray(file[key][box[::-1] or ...]).T
        return np.asarray(file[key][box or ...])


FORMAT = CubeFormat(
    read=read,
    members=members,
    suffixes=(".h5", ".hdf5", ".he5", ".nc", ".nc4"),
    other_suffixes=(".hdf",),
    signatures=(*SIGNATURES, (0, _CLASSIC)),
)
