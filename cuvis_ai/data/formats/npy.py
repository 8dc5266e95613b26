"""NumPy's .npy and .npz.

Plain arrays, also inside an uncompressed .npz, are read block by block; a compressed .npz is decoded whole.
"""

import math
import zipfile
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from cuvis_ai.data.sources.contents import Array, CubeContents
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.data.sources.member_contents import cube_contents
from cuvis_ai.data.sources.members import Member, decoded, is_numeric
from cuvis_ai.data.sources.raw import RawSource
from cuvis_ai.errors import CubeFormatError

_Header = tuple[tuple[int, ...], bool, "np.dtype[Any]"]


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube in a .npy or .npz file.

    Raises:
        CubeFormatError: it holds no array of 3 axes, several and no key, or pickled objects.
    """
    if not _is_npy(path):
        return cube_contents(path, members(path), key)
    if key is not None:
        raise CubeFormatError(
            f"{path}: expected no key=, as a .npy file holds one array without a name, got {key!r}. "
            "Leave key= out."
        )
    with path.open("rb") as file:
        shape, fortran, dtype = _header(path, file)
        offset = file.tell()
    if dtype.hasobject:
        raise CubeFormatError(
            f"{path}: expected numbers, got pickled objects, which may run code when loaded. "
            "Save the array with a number type: numpy.save(path, array.astype(numpy.float32))."
        )
    if len(shape) != 3 or not is_numeric(dtype):
        raise CubeFormatError(
            f"{path}: expected a numeric array (h, w, c), got {shape} of {dtype}. Give it 3 axes."
        )
    source = _raw_source(path, offset, (shape, fortran, dtype))
    if source.end > path.stat().st_size:
        raise CubeFormatError(
            f"{path}: expected {source.end} bytes, got {path.stat().st_size}. It is cut short; copy it again."
        )
    return CubeContents(source=source)


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
    with zipfile.ZipFile(path) as archive:
        found = {
            info.filename.removesuffix(".npy"): _member(path, archive, info)
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }
    return {key: member for key, member in found.items() if is_numeric(member.dtype)}


def _is_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6) == np.lib.format.MAGIC_PREFIX


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    """Return an array of a .npz file; a cube that is not compressed is read block by block."""
    with archive.open(info) as member:
        header = _header(path, member)
        n_header = member.tell()
    shape, _, dtype = header
    load = partial(decoded, _decode, path, info.filename.removesuffix(".npy"))
    if info.compress_type == zipfile.ZIP_STORED and len(shape) == 3:
        with path.open("rb") as file:
            # A member's own header: 30 bytes, the last four of which are the lengths of its name and extras.
            file.seek(info.header_offset + 26)
            n_name, n_extra = np.frombuffer(file.read(4), "<u2")
        offset = info.header_offset + 30 + int(n_name) + int(n_extra) + n_header
        source = _raw_source(path, offset, header)
        if source.end > info.header_offset + 30 + int(n_name) + int(n_extra) + info.file_size:
            raise CubeFormatError(
                f"{path}: expected {source.end - offset} bytes of `{info.filename}` {shape}, got fewer. "
                "It is damaged."
            )
        load = partial(_load_stored, source, load)
    return Member(shape=shape, load=load, dtype=dtype)


def _load_stored(source: RawSource, load: "partial[Array]", *box: slice) -> Array:
    return source.read(*box) if box else load()


def _raw_source(path: Path, offset: int, header: _Header) -> RawSource:
    """Return the source of an array with 3 axes."""
    (h, w, c), fortran, dtype = header
    order = (2, 1, 0) if fortran else (0, 1, 2)
    return RawSource(path=path, offset=offset, dtype=dtype, shape=(h, w, c), order=order)


def _header(path: Path, file: IO[bytes]) -> _Header:
    """Return shape, Fortran order and number type, and leave the file at the first number."""
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    except Exception as err:  # the header is parsed as Python, whose tokenizer raises many errors
        raise CubeFormatError(f"{path}: expected an array in NumPy's format, got: {err}.") from err
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise CubeFormatError(f"{path}: expected an array's shape, got {shape}. The file is damaged.")
    return shape, fortran, dtype


def _decode(path: Path, key: str) -> Array:
    """Return one array of a .npz file, which must have as many bytes as its shape asks for."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
        shape, fortran, dtype = _header(path, member)
        n_expected = dtype.itemsize * math.prod(shape)
        n_bytes = archive.getinfo(f"{key}.npy").file_size - member.tell()
        if n_bytes != n_expected:
            raise CubeFormatError(
                f"{path}: expected {n_expected} bytes of `{key}` {shape}, got {n_bytes}. It is damaged."
            )
        values = np.frombuffer(bytearray(member.read()), dtype)
    return values.reshape(shape, order="F" if fortran else "C")


FORMAT = CubeFormat(
    read=read,
    members=members,
    suffixes=(".npy", ".npz"),
    signatures=((0, np.lib.format.MAGIC_PREFIX),),
)
