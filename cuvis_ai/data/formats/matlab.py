"""MATLAB files: version 7.3 through h5py, 5 to 7 decoded here, 4 through SciPy.

Before version 7.3 a variable has at most 2 GiB and is decoded whole; 7.3 is read block by block.
"""

from functools import partial
from pathlib import Path

import numpy as np

from cuvis_ai.data.formats import hdf5
from cuvis_ai.data.sources import mat5
from cuvis_ai.data.sources.contents import Array, CubeContents
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.data.sources.member_contents import cube_contents
from cuvis_ai.data.sources.members import Member, decoded
from cuvis_ai.errors import CubeFormatError

_NUMERIC = {"double", "single", "logical", "sparse"}
_NUMERIC |= {f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)}


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube in a .mat file, in the number type in which it is stored, as SciPy returns it.

    Arrays in structs and cells have keys such as `scene/cube` and `cells/0`.

    Raises:
        CubeFormatError: it holds no array of 3 axes, several and no key, or is no MATLAB file.
        MissingExtraError: the file is of version 7.3 and h5py is not installed.
    """
    return cube_contents(path, members(path), key)


def members(path: Path) -> dict[str, Member]:
    """Return the numeric variables of a .mat file; sparse ones among them."""
    with path.open("rb") as file:
        beginning = file.read(4096)
    if hdf5.is_hdf5(beginning):
        return hdf5.members(path)
    if _is_version_5(beginning):
        shapes = {name: variable.shape for name, variable in mat5.variables(path).items()}
        return {
            name: Member(shape=shape, load=partial(decoded, _decode, path, name))
            for name, shape in shapes.items()
        }
    return _version_4(path)


def _is_version_5(beginning: bytes) -> bool:
    """Whether a file has the header of versions 5 to 7, rather than a version 4 file's first variable."""
    return beginning[126:128] in (b"IM", b"MI") and 0 not in beginning[:4]


def _decode(path: Path, key: str) -> Array:
    """Return one variable of a file of version 5 to 7."""
    values = mat5.variables(path, key)[key].values
    if values is None:
        raise CubeFormatError(
            f"{path}: expected the numbers of `{key}`, got none. Is the file being written?"
        )
    return values


def _version_4(path: Path) -> dict[str, Member]:
    from scipy.io import whosmat  # takes a tenth of a second to import

    try:
        variables = whosmat(path)
    except Exception as err:  # anything may come of a file that is of no version at all
        raise CubeFormatError(
            f"{path}: expected a MATLAB file ({path.stat().st_size} bytes), got: {err}. "
            "Save it again in MATLAB with save(…, '-v7.3')."
        ) from err
    return {
        name: Member(shape=shape, load=partial(decoded, _decode_4, path, name))
        for name, shape, kind in variables
        if kind in _NUMERIC
    }


def _decode_4(path: Path, key: str) -> Array:
    from scipy.io import loadmat

    values = loadmat(path, variable_names=[key])[key]
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)  # SciPy's sparse matrices


FORMAT = CubeFormat(read=read, members=members, suffixes=(".mat",), signatures=((0, b"MATLAB"),))
