"""MATLAB files: version 7.3 through h5py, earlier ones through SciPy.

Before version 7.3 a variable has at most 2 GiB and is decoded whole; 7.3 is read block by block.
"""

from functools import partial
from pathlib import Path

import numpy as np

from cuvis_ai.data.formats import hdf5
from cuvis_ai.data.formats.contents import Array, CubeContents
from cuvis_ai.data.formats.members import Member, axis_order, contents, cube_key, cube_shape
from cuvis_ai.data.formats.whole import WholeSource
from cuvis_ai.errors import CubeFormatError

_NUMERIC = {"double", "single"} | {f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)}


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube in a .mat file, in the number type in which it is stored, as SciPy returns it.

    Raises:
        CubeFormatError: it holds no array of 3 axes, several and no key, or is no MATLAB file.
        MissingExtraError: the file is of version 7.3 and h5py is not installed.
    """
    if is_hdf5(path):
        return hdf5.read(path, key)
    arrays = members(path)
    name = cube_key(path, arrays, key)
    order = axis_order(arrays, name)
    shape = cube_shape(arrays, name)
    return contents(arrays, name, WholeSource(path=path, key=name, shape=shape, order=order, decode=_load))


def members(path: Path) -> dict[str, Member]:
    """Return the numeric variables of a .mat file."""
    if is_hdf5(path):
        return hdf5.members(path)
    from scipy.io import whosmat  # takes a tenth of a second to import
    from scipy.io.matlab import MatReadError

    try:
        variables = whosmat(path)
    except (MatReadError, ValueError, TypeError, NotImplementedError) as err:
        raise CubeFormatError(
            f"{path}: expected a MATLAB file ({path.stat().st_size} bytes), got: {err}. "
            "Save it again in MATLAB with save(…, '-v7.3')."
        ) from err
    return {
        name: Member(shape=shape, load=partial(_load, path, name))
        for name, shape, kind in variables
        if kind in {*_NUMERIC, "logical"}
    }


def is_hdf5(path: Path) -> bool:
    """Tell whether a file is HDF5, which may begin behind a header of 512, 1024, … bytes of its own."""
    with path.open("rb") as file:
        for start in (0, 512, 1024, 2048):
            file.seek(start)
            if file.read(8) == b"\x89HDF\r\n\x1a\n":
                return True
    return False


def _load(path: Path, key: str) -> Array:
    """Return one variable of a file before version 7.3."""
    from scipy.io import loadmat

    return np.asarray(loadmat(path, variable_names=[key])[key])
