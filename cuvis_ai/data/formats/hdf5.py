"""HDF5, NetCDF 4 and MATLAB 7.3, through h5py.

The file is opened for each block: an HDF5 handle survives neither a fork nor pickling.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.sources.contents import Array, CubeContents
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.data.sources.hdf5_heaps import check_heaps
from cuvis_ai.data.sources.hdf5_reach import check_reach, linked, numbers
from cuvis_ai.data.sources.mat5 import dense
from cuvis_ai.data.sources.member_contents import cube_contents
from cuvis_ai.data.sources.members import Member, is_numeric, upright
from cuvis_ai.errors import CubeFormatError, import_extra

_CLASSIC = b"CDF"
_HDF4 = b"\x0e\x03\x13\x01"
_SIGNATURES = tuple((start, b"\x89HDF\r\n\x1a\n") for start in (0, 512, 1024, 2048))
"""HDF5 may begin after a header of the file's own."""
_OTHERS = {
    _CLASSIC: ("NetCDF 4, got the classic format", "nccopy -k nc4 {name} new.nc"),
    _HDF4: ("HDF5, got HDF4, an older format", "h4toh5 {name} new.h5"),
}
_NEVER_WRITTEN = {
    "i2": -32767,
    "u2": 65535,
    "i4": -2147483647,
    "u4": 4294967295,
    "i8": -9223372036854775806,
    "u8": 18446744073709551614,
    "f4": 9.969209968386869e36,
    "f8": 9.969209968386869e36,
}
"""NetCDF's own fill values; single bytes have none."""


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube in an HDF5 or NetCDF 4 file; scale factors are not applied.

    Raises:
        CubeFormatError: it holds no data set of 3 axes, or several and no key, or is NetCDF classic or HDF4.
        MissingExtraError: h5py is not installed.
    """
    return cube_contents(path, members(path), key)


def is_hdf5(beginning: bytes) -> bool:
    """Tell from a file's first 4 kB whether it is HDF5."""
    return any(beginning.startswith(signature, start) for start, signature in _SIGNATURES)


def members(path: Path) -> dict[str, Member]:
    """Return the numeric data sets by their path in the file, axes as their writer saw them."""
    with path.open("rb") as file:
        beginning = file.read(4)
    for signature, (expected, command) in _OTHERS.items():
        if beginning.startswith(signature):
            advice = command.format(name=path.name)
            raise CubeFormatError(f"{path}: expected {expected}. Convert it with `{advice}`.")
    h5py = import_extra("h5py", "hdf5", f"reading {path}")
    check_heaps(path)
    try:
        with h5py.File(path, "r") as file:
            found = _Found(path, h5py, file)
            file.visititems(found.visit)
    except OSError as err:
        raise CubeFormatError(
            f"{path}: expected an HDF5 file ({path.stat().st_size} bytes), got: {err}."
        ) from err
    return found.members


_MERE_LENGTH = "This is a netCDF dimension but not a netCDF variable"
"""What NetCDF writes as `NAME` of a dimension without coordinates, whose zeros mean nothing."""


class _Found:
    """The numeric arrays met on a walk through a file.

    Args:
        path: the file.
        h5py: the package.
        file: the file, opened.
    """

    def __init__(self, path: Path, h5py: Any, file: Any) -> None:
        self.path = path
        self.h5py = h5py
        self.file = file
        self.members: dict[str, Member] = {}
        self.is_netcdf = path.suffix.lower() in (".nc", ".nc4") or "_NCProperties" in file.attrs

    def visit(self, name: str, node: Any) -> None:
        """Take a node; MATLAB keeps what its cells and objects point to in `#refs#` and `#subsystem#`."""
        if name.startswith("#"):
            return
        if not isinstance(node, self.h5py.Dataset):
            if "MATLAB_sparse" in node.attrs:
                self._add_sparse(name, node)
        elif (
            node.shape is None
            or "MATLAB_empty" in node.attrs
            or "MATLAB_sparse" in node.parent.attrs
            or _MERE_LENGTH in str(_readable(node.attrs).get("NAME"))
        ):
            pass
        elif is_numeric(node.dtype):
            self.members[name] = self._member(node)
        elif self.h5py.check_ref_dtype(node.dtype) is self.h5py.Reference and _is_matlab(node):
            check_reach(self.path, node)
            for i, reference in enumerate(node[()].ravel()):
                self._visit_cell(f"{name}/{i}", self.file[reference])

    def _visit_cell(self, name: str, target: Any) -> None:
        """Take what a cell points to: an array, another cell, or a struct with its fields."""
        self.visit(name, target)
        if not isinstance(target, self.h5py.Dataset):
            target.visititems(lambda below, node: self.visit(f"{name}/{below}", node))

    def _add_sparse(self, name: str, group: Any) -> None:
        shape = (int(group.attrs["MATLAB_sparse"]), len(linked(self.path, group, "jc")) - 1)
        self.members[name] = Member(shape=shape, load=partial(_load_sparse, self.path, group.name))

    def _member(self, node: Any) -> Member:
        dimensions = tuple(_dimension_name(axis) for axis in node.dims)
        shape = tuple(node.shape)
        attributes = _readable(node.attrs)
        if _is_matlab(node):
            shape, dimensions = shape[::-1], ()
        if not attributes.keys() & {"_FillValue", "_Unsigned"}:
            attributes |= self._never_written(node)
        if said := self._said_by_prisma(node.name):
            attributes |= said
            dimensions = ("y", "band", "x")
        member = Member(
            shape=shape,
            load=partial(_load, self.path, node.name),
            dtype=node.dtype,
            attributes=attributes,
            dimensions=dimensions,
        )
        return upright(member)

    def _never_written(self, node: Any) -> dict[str, Any]:
        """What is left where nothing was written: the number chosen by the writer, else NetCDF's own."""
        said = node.id.get_create_plist().fill_value_defined() == self.h5py.h5d.FILL_VALUE_USER_DEFINED
        if said:
            fill = node.fillvalue if self.is_netcdf or node.fillvalue else None  # 0 need not be chosen
        else:
            fill = _NEVER_WRITTEN.get(node.dtype.str[1:]) if self.is_netcdf else None
        return {} if fill is None else {"_FillValue": fill}

    def _said_by_prisma(self, name: str) -> dict[str, Any]:
        """What a PRISMA product's root says of `VNIR_Cube` and `SWIR_Cube`, (rows, bands, columns)."""
        part = name.rpartition("/")[2].removesuffix("_Cube").capitalize()
        centres = self.file.attrs.get(f"List_Cw_{part}") if name.endswith("_Cube") else None
        if centres is None:
            return {}
        flags = self.file.attrs.get(f"List_Cw_{part}_Flags")
        said = {"wavelengths": centres, "wavelength_units": "nm"}
        return said if flags is None else said | {"bbl": flags}


def _is_matlab(node: Any) -> bool:
    """MATLAB counts axes from the fastest on, HDF5 from the slowest."""
    return "MATLAB_class" in node.attrs


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
        dataset = linked(path, file, key)
        check_reach(path, dataset)
        if _is_matlab(dataset):
            return np.asarray(dataset[box[::-1] or ...]).T
        return np.asarray(dataset[box or ...])


def _load_sparse(path: Path, key: str) -> Array:
    """Return MATLAB's sparse matrix with all its zeros."""
    h5py = import_extra("h5py", "hdf5", f"reading {path}")
    with h5py.File(path, "r") as file:
        group = linked(path, file, key)
        n_rows, empty = int(group.attrs["MATLAB_sparse"]), "data" not in group
        starts, rows, values = (
            np.zeros(0) if empty and name != "jc" else numbers(path, group, name)
            for name in ("jc", "ir", "data")
        )
    return dense(n_rows, rows, starts, values)


FORMAT = CubeFormat(
    read=read,
    members=members,
    suffixes=(".h5", ".hdf5", ".he5", ".nc", ".nc4"),
    other_suffixes=(".hdf",),
    signatures=(*_SIGNATURES, *((0, signature) for signature in _OTHERS)),
)
