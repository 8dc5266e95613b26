"""NumPy's .npy and .npz.

Plain arrays, also inside an uncompressed .npz, are read block by block; a compressed .npz is decoded whole.
"""

import zipfile
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from cuvis_ai.data.formats.contents import Array, CubeContents
from cuvis_ai.data.formats.members import Member, axis_order, contents, cube_key, cube_shape, is_numeric
from cuvis_ai.data.formats.raw import RawSource
from cuvis_ai.data.formats.whole import WholeSource
from cuvis_ai.errors import CubeFormatError

_Header = tuple[tuple[int, ...], bool, "np.dtype[Any]"]


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube in a .npy or .npz file.

    Raises:
        CubeFormatError: it holds no array of 3 axes, several and no key, or pickled objects.
    """
    return _read_npy(path, key) if _is_npy(path) else _read_npz(path, key)


def members(path: Path) -> dict[str, Member]:
    """Return the numeric arrays of a file; that of a .npy file is called after the file."""
    if _is_npy(path):
        with path.open("rb") as file:
            shape, _, dtype = _header(path, file)
        load = partial(np.load, path, allow_pickle=False)
        return {path.stem: Member(shape=shape, load=load)} if is_numeric(dtype) else {}
    if not zipfile.is_zipfile(path):
        raise CubeFormatError(
            f"{path}: expected a .npy or .npz file, got {path.stat().st_size} bytes of another kind."
        )
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in (info.filename for info in archive.infolist() if info.filename.endswith(".npy")):
            with archive.open(name) as file:
                shape, _, dtype = _header(path, file)
            if is_numeric(dtype):
                key = name.removesuffix(".npy")
                found[key] = Member(shape=shape, load=partial(_load_member, path, key))
    return found


def _is_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6) == np.lib.format.MAGIC_PREFIX


def _read_npy(path: Path, key: str | None) -> CubeContents:
    if key is not None:
        raise CubeFormatError(
            f"{path}: a .npy file holds one array without a name, got key={key!r}. Leave key= out."
        )
    with path.open("rb") as file:
        header = _header(path, file)
        offset = file.tell()
    if header[2].hasobject:
        raise CubeFormatError(
            f"{path}: expected numbers, got pickled objects, which may run code when loaded. "
            "Save the array with a number type: numpy.save(path, array.astype(numpy.float32))."
        )
    if len(header[0]) != 3 or not is_numeric(header[2]):
        raise CubeFormatError(
            f"{path}: expected a numeric array (h, w, c), got {header[0]} of {header[2]}. Give it 3 axes."
        )
    source = _raw_source(path, offset, header, (0, 1, 2))
    if source.end > path.stat().st_size:
        raise CubeFormatError(
            f"{path}: expected {source.end} bytes, got {path.stat().st_size}. It is cut short; copy it again."
        )
    return CubeContents(source=source)


def _read_npz(path: Path, key: str | None) -> CubeContents:
    arrays = members(path)
    name = cube_key(path, arrays, key)
    order = axis_order(arrays, name)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
        with archive.open(info) as file:
            header = _header(path, file)
            n_header = file.tell()
    if info.compress_type != zipfile.ZIP_STORED:
        shape = cube_shape(arrays, name)
        whole = WholeSource(path=path, key=name, shape=shape, order=order, decode=_load_member)
        return contents(arrays, name, whole)
    with path.open("rb") as file:
        # A ZIP member's own header: 30 bytes, the last four of which are the lengths of its name and extras.
        file.seek(info.header_offset + 26)
        n_name, n_extra = np.frombuffer(file.read(4), "<u2")
    offset = info.header_offset + 30 + int(n_name) + int(n_extra) + n_header
    return contents(arrays, name, _raw_source(path, offset, header, order))


def _raw_source(path: Path, offset: int, header: _Header, order: tuple[int, int, int]) -> RawSource:
    """Return the source of an array whose axes are `order` of (h, w, c)."""
    axes, fortran, dtype = header
    h, w, c = (axes[i] for i in np.argsort(order))
    on_disk = order[::-1] if fortran else order
    return RawSource(path=path, offset=offset, dtype=dtype, shape=(h, w, c), order=on_disk)


def _header(path: Path, file: IO[bytes]) -> _Header:
    """Return shape, Fortran order and number type, and leave the file at the first number."""
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    except ValueError as err:
        raise CubeFormatError(f"{path}: expected an array in NumPy's format, got: {err}.") from err
    return shape, fortran, dtype


def _load_member(path: Path, key: str) -> Array:
    """Return one array of a .npz file."""
    with np.load(path, allow_pickle=False) as archive:
        array: Array = archive[key]
    return array
