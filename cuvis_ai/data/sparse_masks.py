"""Masks stored as sparse matrices in SciPy's .npz; MATLAB's are among the members of its formats."""

import math
import zipfile
from functools import partial
from pathlib import Path

import numpy as np

from cuvis_ai.data.formats import npy
from cuvis_ai.data.sources.contents import Array
from cuvis_ai.data.sources.decoding import UndecodableError
from cuvis_ai.data.sources.members import Member


def sparse_members(path: Path) -> dict[str, Member]:
    """Return the sparse matrix of an .npz file, called after the file; empty for any other file.

    Raises:
        UndecodableError: its parts are larger than its shape allows.
    """
    if not path.is_file() or not zipfile.is_zipfile(path):
        return {}
    parts = npy.members(path)
    with zipfile.ZipFile(path) as archive:
        if not {"format.npy", "shape.npy", "data.npy"} <= set(archive.namelist()):
            return {}
    if "shape" not in parts or parts["shape"].shape != (2,):
        raise UndecodableError("expected the shape of a sparse matrix in `shape`, got another array.")
    h, w = (int(n) for n in parts["shape"].load())
    sizes = {name: math.prod(part.shape) for name, part in parts.items()}
    most = (h + 1) * (w + 1)
    if min(h, w) < 0 or max(sizes.values()) > most:
        raise UndecodableError(f"expected parts of a sparse matrix {(h, w)}, got {sizes}.")
    return {path.stem: Member(shape=(h, w), load=partial(_load, path))}


def _load(path: Path) -> Array:
    from scipy.sparse import load_npz  # takes a tenth of a second to import

    matrix = load_npz(path)
    if matrix.format in ("csr", "csc", "bsr"):
        matrix.check_format(full_check=True)  # SciPy writes where the indices say, unchecked
    return np.asarray(matrix.toarray())
