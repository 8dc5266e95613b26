"""MATLAB files: version 7.3 through h5py, earlier ones through SciPy.

Before version 7.3 a variable has at most 2 GiB and is decoded whole; 7.3 is read block by block.
"""

from functools import partial
from pathlib import Path

import numpy as np

from cuvis_ai.data.formats import hdf5
from cuvis_ai.data.sources.contents import Array, CubeContents
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.data.sources.members import Member, cube_contents, decoded
from cuvis_ai.errors import CubeFormatError

_NUMERIC = {"double", "single", "logical"} | {f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)}


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube in a .mat file, in the number type in which it is stored, as SciPy returns it.

    Raises:
        CubeFormatError: it holds no array of 3 axes, several and no key, or is no MATLAB file.
        MissingExtraError: the file is of version 7.3 and h5py is not installed.
    """
    return cube_contents(path, members(path), key)


def members(path: Path) -> dict[str, Member]:
    """Return the numeric variables of a .mat file."""
    if _is_hdf5(path):
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
        name: Member(shape=shape, load=partial(decoded, _decode, path, name))
        for name, shape, kind in variables
        if kind in _NUMERIC
    }


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        beginning = file.read(4096)
    return any(beginning.startswith(signature, start) for start, signature in hdf5.SIGNATURES)


def _decode(path: Path, key: str) -> Array:
    """Return one variable of a file before version 7.3."""
    from scipy.io import loadmat

    return np.asarray(loadmat(path, variable_names=[key])[key])


FORMAT = CubeFormat(read=read, members=members, suffixes=(".mat",), signatures=((0, b"MATLAB"),))
