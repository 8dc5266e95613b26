"""Masks stored as sparse matrices: MATLAB's, of every version, and SciPy's .npz."""

import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.sources.contents import Array
from cuvis_ai.data.sources.hdf5_reach import linked, numbers
from cuvis_ai.data.sources.members import Member
from cuvis_ai.errors import import_extra

_HDF5 = b"\x89HDF\r\n\x1a\n"


def sparse_members(path: Path) -> dict[str, Member]:
    """Return the sparse matrices of a file by their names; that of an .npz is called after the file.

    Damaged files give whatever error the decoding library has.
    """
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        beginning = file.read(520)
    if beginning.startswith(b"PK"):
        return _of_npz(path)
    if _HDF5 in (beginning[:8], beginning[512:]):
        return _of_hdf5(path)
    return _of_mat(path) if beginning.startswith(b"MATLAB") else {}


def _of_mat(path: Path) -> dict[str, Member]:
    from scipy.io import whosmat  # takes a tenth of a second to import

    return {
        name: Member(shape=shape, load=partial(_load_mat, path, name))
        for name, shape, kind in whosmat(path)
        if kind in ("sparse", "logical")  # SciPy calls sparse flags so, like dense ones
    }


def _load_mat(path: Path, name: str) -> Array:
    from scipy.io import loadmat
    from scipy.sparse import issparse

    found = loadmat(path, variable_names=[name])[name]
    return _dense(found) if issparse(found) else np.asarray(found)


def _of_npz(path: Path) -> dict[str, Member]:
    with zipfile.ZipFile(path) as archive:
        if not {"format.npy", "shape.npy", "data.npy"} <= set(archive.namelist()):
            return {}
    with np.load(path, allow_pickle=False) as arrays:
        h, w = (int(n) for n in arrays["shape"])
    return {path.stem: Member(shape=(h, w), load=partial(_load_npz, path))}


def _load_npz(path: Path) -> Array:
    from scipy.sparse import load_npz

    return _dense(load_npz(path))


def _of_hdf5(path: Path) -> dict[str, Member]:
    """MATLAB 7.3 has a group of values, their rows, and where in them each column begins."""
    h5py = import_extra("h5py", "hdf5", f"reading {path}")
    found: dict[str, Member] = {}

    def visit(name: str, node: Any) -> None:
        if "MATLAB_sparse" in node.attrs and isinstance(node, h5py.Group):
            shape = (int(node.attrs["MATLAB_sparse"]), len(linked(path, node, "jc")) - 1)
            found[name] = Member(shape=shape, load=partial(_load_hdf5, path, name, shape))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def _load_hdf5(path: Path, name: str, shape: tuple[int, int]) -> Array:
    from scipy.sparse import csc_array

    h5py = import_extra("h5py", "hdf5", f"reading {path}")
    with h5py.File(path, "r") as file:
        group = linked(path, file, name)
        values, rows = (numbers(path, group, key) if key in group else np.zeros(0) for key in ("data", "ir"))
        columns = numbers(path, group, "jc")
    return _dense(csc_array((values, rows.astype(np.int64), columns.astype(np.int64)), shape=shape))


def _dense(matrix: Any) -> Array:
    """Return a sparse matrix as an array, after its indices were compared with its shape."""
    if matrix.format in ("csr", "csc", "bsr"):
        matrix.check_format(full_check=True)
    return np.asarray(matrix.toarray())
