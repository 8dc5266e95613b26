"""Formats of cubes, and of masks beside them, for the fuzzer; other libraries or the definition judge."""

import multiprocessing
import re
import shutil
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from fuzz.file_format import Format, Reading, changed_bytes, changed_sizes, changed_tree, changed_words

Array = NDArray[Any]

SIZE = (12, 10)
VALUES = np.random.default_rng(0).integers(0, 4000, (*SIZE, 5)).astype(np.uint16)
REALS = VALUES.astype(np.float32) / 7
CENTRES = np.linspace(450.0, 850.0, 5)
SIZES = (*VALUES.shape, VALUES.size, VALUES.nbytes, REALS.nbytes, *SIZE, CENTRES.nbytes)
"""Numbers that the seeds hold."""
MASK = np.zeros(SIZE, np.uint8)
MASK[3:6, 2:5] = 1
_MOST = 64 << 20
"""Bytes of a cube that are read; of a larger one, that many from its beginning."""


def _read_cube(path: Path, key: str | None = None) -> tuple[Array, tuple[int, ...]]:
    """Return a cube's values and shape, with everything else that its file says."""
    from cuvis_ai.data.cube import read_cube

    cube = read_cube(path, key, axes="hwc")
    h, w, _ = cube.shape
    rows = h if cube.values.nbytes <= _MOST else max(1, _MOST * h // cube.values.nbytes)
    if cube.validity.measured is not None:
        cube.validity.measured(slice(0, rows), slice(0, w))
    return cube.values[:rows], cube.shape


def _read_mask(path: Path) -> Array:
    from cuvis_ai.data.masks import read_mask

    return read_mask(path, SIZE)


def _read_named_mask(path: Path) -> Array:
    from cuvis_ai.data.masks import read_mask

    return read_mask(path, SIZE, key="mask", anomalous=(1, 255))


def _same(found: Array, expected: Array) -> bool:
    """Whether two arrays have the same numbers, bit by bit, whatever their byte order."""
    native = [np.ascontiguousarray(a.astype(a.dtype.newbyteorder("="))) for a in (found, expected)]
    return native[0].dtype == native[1].dtype and native[0].tobytes() == native[1].tobytes()


def _cube_differs(
    expected: Callable[[Path], Iterator[Array]],
) -> Callable[[Path, tuple[Array, tuple[int, ...]]], bool]:
    """Return whether none of the other readers gives the same cube, and the damage is not elsewhere."""

    def differs(path: Path, found: tuple[Array, tuple[int, ...]]) -> bool:
        values, shape = found
        if any(_same(values, sound) for sound in (VALUES, REALS) if sound.shape == shape):
            return False
        others = [*expected(path)]
        if not others and path.suffix == ".mat":  # SciPy refuses a struct of which any field is damaged
            return False
        return not any(o.shape == shape and _same(values, o[: len(values)]) for o in others)

    return differs


def _mask_differs(expected: Callable[[Path], Iterator[Array]]) -> Callable[[Path, Array], bool]:
    def differs(path: Path, found: Array) -> bool:
        others = (other.reshape(SIZE) for other in expected(path) if other.size == found.size)
        return not np.array_equal(found, MASK) and not any(
            np.array_equal(found, np.isin(other, (1, 255))) for other in others
        )

    return differs


# ENVI: the header, then the data.

_BREAK = b"\0data\0"


def _envi_seeds() -> list[bytes]:
    seeds = []
    for values, kind, order, axes in (
        (VALUES, 12, 0, "bip"),
        (VALUES, 12, 1, "bsq"),
        (REALS, 4, 0, "bil"),
        (MASK[..., None], 1, 0, "bsq"),
    ):
        lie = {"bip": (0, 1, 2), "bil": (0, 2, 1), "bsq": (2, 0, 1)}[axes]
        header = (
            "ENVI\ndescription = {a scene,\n of counts}\nsamples = 10\nlines = 12\n"
            f"bands = {values.shape[2]}\nheader offset = 0\nfile type = ENVI Standard\ndata type = {kind}\n"
            f"interleave = {axes}\nbyte order = {order}\nwavelength units = Nanometers\nwavelength = {{\n"
            + ", ".join(f"{centre:.1f}" for centre in CENTRES)
            + "}\nbbl = {1, 1, 0, 1, 1}\ndata ignore value = 0\n"
        )
        data = values.transpose(lie).astype(np.dtype("<>"[order] + values.dtype.str[1:])).tobytes()
        seeds.append(header.encode() + _BREAK + data)
    return seeds


_WORDS = ["", "0", "1", "-1", "12", "10", "5", "4", "2147483648", "1" * 30, "1e400", "nan", "inf", "{", "}"]
_WORDS += ["{1}", "{{", "=", ";", "bsq", "BIL", "bip", "\x00", "\x1b[2J", " " * 50_000, "{" * 50_000]
_WORDS += ["1, " * 50_000, "= " * 50_000, "\n" * 50_000, ";\n" * 25_000, "é\udce9"]


@st.composite
def _changed_header(draw: st.DrawFn, content: bytes) -> bytes:
    """Fields exchanged, removed, repeated, moved."""
    header, _, data = content.partition(_BREAK)
    lines = header.decode("latin-1").splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from((*3 * ["exchange"], "remove", "repeat", "insert", "swap")))
        word = draw(st.sampled_from(_WORDS) | st.text(max_size=5))
        if kind == "exchange":
            lines[at] = lines[at].partition("= ")[0] + "= " * ("= " in lines[at]) + word
        elif kind == "remove" and len(lines) > 1:
            del lines[at]
        elif kind == "repeat":
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
        elif kind == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines.insert(at, word)
    return "\n".join(lines).encode("utf-8", "surrogateescape") + _BREAK + data


def _write_envi(path: Path, content: bytes) -> None:
    header, _, data = content.partition(_BREAK)
    path.write_bytes(header)
    path.with_suffix(".img").write_bytes(data)


def _envi_by_others(path: Path) -> Iterator[Array]:
    """GDAL, SPy, and the definition, by which a missing byte order is little-endian."""
    import rasterio
    from spectral.io import envi

    data = path.with_suffix(".img")
    try:
        with rasterio.open(data, driver="ENVI") as image:
            yield image.read().transpose(1, 2, 0)
    except Exception:  # it refuses what it refuses
        pass
    try:
        opened = envi.open(str(path), str(data))
        opened.scale_factor = 1
        yield np.array(opened.read_subregion((0, opened.nrows), (0, opened.ncols)))
    except Exception:  # likewise
        pass
    yield _envi_by_definition(path, data)


def _envi_by_definition(path: Path, data: Path) -> Array:
    """The fields that stand in lines of their own, the last of a name."""
    said = {}
    for line in path.read_bytes().decode("latin-1").lower().split("\n"):
        name, _, value = line.partition("=")
        value = value.partition(";")[0].strip(" \t").removeprefix("{").removesuffix("}")
        if re.fullmatch("[a-z ]+", name.strip(" \t")) and not {"{", "}"} & {*value}:
            said[name.strip(" \t")] = value.strip(" \t")
    w, h, c, kind = (int(float(said[name])) for name in ("samples", "lines", "bands", "data type"))
    order = "<>"[int(float(said.get("byte order", 0)))]
    names = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 6: "c8", 9: "c16", 12: "u2", 13: "u4", 14: "i8"}
    dtype = np.dtype(order + (names | {15: "u8"})[kind])
    offset = int(float(said.get("header offset", 0)))
    values = np.frombuffer(data.read_bytes(), dtype, h * w * c, offset)
    sides = {"h": h, "w": w, "c": c}
    axes = {"bsq": "chw", "bil": "hcw", "bip": "hwc"}[said["interleave"]]
    return values.reshape([sides[axis] for axis in axes]).transpose([axes.index(axis) for axis in "hwc"])


# NumPy.


def _npy(values: Array, **options: Any) -> bytes:
    file = BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


def _npy_seeds() -> list[bytes]:
    arrays = (VALUES, np.asfortranarray(REALS), MASK, MASK.astype(bool), MASK[..., None].astype(">i4"))
    return [_npy(values) for values in arrays]


_IN_HEADERS = ["'<u2'", "'|u1'", "'<f4'", "'>i4'", "False", "True", "(12, 10, 5)", "12", "}", ","]
_NOT_IN_HEADERS = ["'<f8'", "'|O'", "'|b1'", "'<U9'", "'<c16'", "'>u2'", "'|V0'", "[('a', '<u2')]", "True"]
_NOT_IN_HEADERS += ["()", "(5, 12, 10)", "(12, 10, -5)", "(2147483648, 10, 5)", "(0, 10, 5)", "(12, True, 5)"]
_NOT_IN_HEADERS += ["9" * 30, "1e3", "-1", "(" * 500, "[" * 9000, "'x': 1", ""]


@st.composite
def _changed_npy_header(draw: st.DrawFn, content: bytes) -> bytes:
    """Another type, order or shape, or another length of the header."""
    (length,) = struct.unpack("<H", content[8:10])
    text = content[10 : 10 + length].decode("latin-1")
    old, new = draw(st.tuples(st.sampled_from(_IN_HEADERS), st.sampled_from(_NOT_IN_HEADERS)))
    text = text.replace(old, new, 1)
    length = draw(st.sampled_from((len(text), len(text), len(text), 0, 65535, length)))
    return (
        content[:8] + struct.pack("<H", length % 65536) + text.encode() + content[10 + _header_of(content) :]
    )


def _header_of(content: bytes) -> int:
    return int(struct.unpack("<H", content[8:10])[0])


def _changed_npy(content: bytes) -> st.SearchStrategy[bytes]:
    return changed_bytes(content) | changed_words(content, within=128) | _changed_npy_header(content)


def _npy_by_numpy(path: Path) -> Iterator[Array]:
    yield np.load(path, allow_pickle=False)


def zipped(members: list[tuple[str, bytes]], compress: int) -> bytes:
    """Return a zip of any members, with a fixed date, so that a mutation can be made again."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compress) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on doubled names, which are wanted here
        for name, content in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = compress
            file.writestr(info, content)
    return buffer.getvalue()


def _members(content: bytes) -> tuple[list[tuple[str, bytes]], int]:
    with zipfile.ZipFile(BytesIO(content)) as file:
        infos = file.infolist()
        return [(info.filename, file.read(info)) for info in infos], infos[0].compress_type


@st.composite
def _changed_members(
    draw: st.DrawFn, content: bytes, changed: Callable[[str, bytes], st.SearchStrategy[bytes]]
) -> bytes:
    """Members changed, removed, repeated, renamed, in a sound zip."""
    members, compress = _members(content)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(members) - 1))
        name, part = members[at]
        kind = draw(st.sampled_from((*5 * ["change"], "remove", "repeat", "rename")))
        if kind == "change":
            members[at] = (name, draw(changed(name, part)))
        elif kind == "remove" and len(members) > 1:
            del members[at]
        elif kind == "repeat":
            members.append((name, draw(st.sampled_from([one for _, one in members]))))
        else:
            members[at] = (draw(st.sampled_from(["", "x", "../x.npy", "mask.npy", "x" * 300])), part)
    return zipped(members, draw(st.sampled_from((compress, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED))))


def _npz_seeds() -> list[bytes]:
    arrays = [("cube.npy", _npy(VALUES)), ("mask.npy", _npy(MASK)), ("wavelengths.npy", _npy(CENTRES))]
    fortran = [("cube.npy", _npy(np.asfortranarray(REALS))), *arrays[1:]]
    return [zipped(arrays, zipfile.ZIP_STORED), zipped(arrays, zipfile.ZIP_DEFLATED), zipped(fortran, 0)]


def _npz_by_numpy(key: str) -> Callable[[Path], Iterator[Array]]:
    def read(path: Path) -> Iterator[Array]:
        with np.load(path, allow_pickle=False) as arrays:
            names = [name for name in arrays.files if arrays[name].ndim == (3 if key == "cube" else 2)]
            yield from (arrays[name] for name in ([key] if key in arrays.files else names))

    return read


# MATLAB.


def _mat_seeds() -> list[bytes]:
    import scipy.io

    holds = {"cube": VALUES, "mask": MASK, "wavelengths": CENTRES, "name": "scene"}
    nested = {"cube": np.asfortranarray(REALS), "mask": scipy.sparse.csc_array(MASK.astype(float))}
    seeds = []
    for values, options in (
        (holds, {}),
        (holds, {"do_compression": True}),
        (nested, {"do_compression": True}),
        ({"scene": holds, "cells": np.array([1, "a"], dtype=object), "mask": MASK.astype(bool)}, {}),
    ):
        file = BytesIO()
        scipy.io.savemat(file, values, **options)
        # The date in the header is left out, so that a mutation can be made again.
        seeds.append(file.getvalue()[:40].ljust(116) + file.getvalue()[116:])
    return seeds


@st.composite
def _changed_elements(draw: st.DrawFn, content: bytes) -> bytes:
    """Whole numbers or bytes of a variable changed, after decompression, with a sound checksum, or a bomb."""
    parts = [*_elements(content)]
    i = draw(st.integers(0, len(parts) - 1))
    kind, part = parts[i]
    plain = zlib.decompress(part) if kind == 15 else struct.pack("<II", kind, len(part)) + part
    changes = (changed_words(plain, within=200), changed_words(plain), changed_sizes(plain, SIZES))
    plain = draw(st.one_of(*changes, changed_bytes(plain)))
    if kind == 15:
        plain = struct.pack("<II", 15, len(packed := zlib.compress(plain))) + packed
    parts_after = [
        plain if j == i else struct.pack("<II", kind, len(part)) + part
        for j, (kind, part) in enumerate(parts)
    ]
    return content[:128] + b"".join(parts_after)


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kinds and contents of a file's variables, compressed or not."""
    at, order = 128, "<" if content[126:128] == b"IM" else ">"
    while at + 8 <= len(content):
        kind, n = struct.unpack_from(f"{order}II", content, at)
        yield kind, content[at + 8 : at + 8 + n]
        at += 8 + n


def _mat_by_scipy(key: str) -> Callable[[Path], Iterator[Array]]:
    def read(path: Path) -> Iterator[Array]:
        """Each variable in a file of its own, since SciPy refuses a file of which any is damaged."""
        content = path.read_bytes()
        order = "<" if content[126:128] == b"IM" else ">"
        for kind, part in _elements(content):
            alone = content[:128] + struct.pack(f"{order}II", kind, len(part)) + part
            with ProcessPoolExecutor(
                1, multiprocessing.get_context("fork")
            ) as pool:  # since it may die of it
                try:
                    yield from pool.submit(_numbers_by_scipy, alone, 3 if key == "cube" else 2).result()
                except Exception:  # it refuses what it refuses
                    continue

    return read


def _numbers_by_scipy(content: bytes, n_axes: int) -> list[Array]:
    import scipy.io

    return [*_numbers_in(list(scipy.io.loadmat(BytesIO(content)).values())[3:], n_axes)]


def _numbers_in(found: Any, n_axes: int) -> Iterator[Array]:
    """Yield the arrays of so many axes in a variable, its fields and cells."""
    if hasattr(found, "toarray"):
        found = found.toarray()
    if isinstance(found, list):
        for one in found:
            yield from _numbers_in(one, n_axes)
    elif isinstance(found, np.ndarray) and found.dtype.names:
        for one in found.ravel():
            for name in found.dtype.names:
                yield from _numbers_in(one[name], n_axes)
    elif isinstance(found, np.ndarray) and found.dtype.kind == "O":
        for one in found.ravel():
            yield from _numbers_in(one, n_axes)
    elif isinstance(found, np.ndarray) and found.dtype.kind in "buifc" and found.ndim == n_axes:
        yield found


# HDF5, and MATLAB 7.3 in it.


def _hdf5_seed(matlab: bool, **options: Any) -> bytes:
    import h5py

    file = BytesIO()
    with h5py.File(file, "w", userblock_size=512 if matlab else 0) as root:
        for name, values, kind in (("cube", VALUES, b"uint16"), ("mask", MASK, b"uint8")):
            root.create_dataset(name, data=values.T if matlab else values, **options)
            if matlab:
                root[name].attrs["MATLAB_class"] = np.bytes_(kind)
        root["wavelengths"] = CENTRES
        root["wavelengths"].attrs["units"] = "nm"
        root["cube"].attrs["_FillValue"] = np.uint16(0)
    content = file.getvalue()
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"
    return header.ljust(512, b"\0") + content[512:] if matlab else content


def _hdf5_seeds() -> list[bytes]:
    chunked = {"chunks": True, "compression": "gzip", "shuffle": True}
    return [_hdf5_seed(False), _hdf5_seed(False, **chunked), _hdf5_seed(False, fletcher32=True)]


def _mat73_seeds() -> list[bytes]:
    return [_hdf5_seed(True), _hdf5_seed(True, chunks=True, compression="gzip")]


def _changed_binary(content: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(
        *(change(content) for change in (changed_bytes, changed_words)), changed_sizes(content, SIZES)
    )


def _hdf5_by_h5py(key: str) -> Callable[[Path], Iterator[Array]]:
    def read(path: Path) -> Iterator[Array]:
        import h5py

        found = list[Array]()

        def visit(name: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset) and len(node.shape) == (3 if key == "cube" else 2):
                matlab = "MATLAB_class" in node.attrs
                small = node.nbytes <= _MOST
                part = node[()] if small else node[..., :10] if matlab else node[:10]
                found.append(part.T if matlab else part)

        with h5py.File(path, "r") as file:
            file.visititems(visit)
        yield from found

    return read


# Zarr: zipped stores, of which some are unpacked to folders.

# Written as no literal: Hypothesis puts a module's literals into the bytes that it makes.
_FOLDER = bytes(range(16))
"""What a zip begins with that is to be unpacked."""


def _zarr_seed(version: Literal[2, 3], **options: Any) -> bytes:
    import zarr

    with TemporaryDirectory() as folder:
        root = zarr.open_group(folder, mode="w", zarr_format=version)
        for name, values in (("cube", VALUES), ("mask", MASK), ("wavelengths", CENTRES)):
            root.create_array(name, data=values, **options)
        root["cube"].attrs["_FillValue"] = 0
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return zipped([(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths], 0)


def _zarr_seeds() -> list[bytes]:
    seeds = [_zarr_seed(3), _zarr_seed(2), _zarr_seed(3, compressors=None), _zarr_seed(2, compressors=None)]
    return [*seeds, *(_FOLDER + seed for seed in seeds)]


def _changed_zarr(content: bytes) -> st.SearchStrategy[bytes]:
    prefix = _FOLDER if content.startswith(_FOLDER) else b""
    store = content.removeprefix(_FOLDER)

    def changed(name: str, part: bytes) -> st.SearchStrategy[bytes]:
        is_json = name.rpartition("/")[2] in ("zarr.json", ".zarray", ".zgroup", ".zattrs")
        return (
            changed_tree(part) | changed_tree(part) | changed_bytes(part) if is_json else changed_bytes(part)
        )

    members = _changed_members(store, changed)
    return members.map(lambda new: prefix + new) if prefix else changed_bytes(store) | members | members


def _write_zarr(path: Path, content: bytes) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if not content.startswith(_FOLDER):
        path.write_bytes(content)
        return
    path.mkdir()
    for name, part in _members(content.removeprefix(_FOLDER))[0]:
        place = path / PurePosixPath(name or "x").name if ".." in name else path / (name or "x")[:200]
        if not place.is_dir() and not any(above.is_file() for above in place.parents):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(part)


def _zarr_by_zarr(key: str) -> Callable[[Path], Iterator[Array]]:
    def read(path: Path) -> Iterator[Array]:
        import zarr

        store = zarr.storage.ZipStore(path, mode="r") if path.is_file() else path
        root = zarr.open(store, mode="r")
        arrays = (
            [root] if isinstance(root, zarr.Array) else [node for _, node in root.members(max_depth=None)]
        )
        for node in arrays:
            if isinstance(node, zarr.Array) and node.ndim == (3 if key == "cube" else 2):
                yield np.asarray(node[...] if node.nbytes <= _MOST else node[:10])

    return read


# TIFF.


def _tiff_seeds() -> list[bytes]:
    import rasterio
    from PIL import Image

    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    seeds = []
    for values, options in (
        (VALUES, {}),
        (VALUES, {"compress": "deflate", "predictor": 2, "tiled": True, "blockxsize": 16, "blockysize": 16}),
        (REALS, {"compress": "lzw", "interleave": "pixel", "photometric": "minisblack"}),
        (MASK[..., None], {"compress": "packbits"}),
    ):
        h, w, c = values.shape
        with rasterio.MemoryFile() as file:
            with file.open(
                driver="GTiff", height=h, width=w, count=c, dtype=values.dtype, **options
            ) as image:
                image.write(values.transpose(2, 0, 1))
                image.update_tags(wavelength=", ".join(map(str, CENTRES)), bbl="1 1 0 1 1")
            seeds.append(file.read())
    pages = [Image.fromarray(VALUES[..., band]) for band in range(5)]
    stack = BytesIO()
    pages[0].save(stack, "TIFF", save_all=True, append_images=pages[1:])
    return [*seeds, stack.getvalue()]


@st.composite
def _changed_directory(draw: st.DrawFn, content: bytes) -> bytes:
    """Entries of the first directory exchanged, field by field."""
    result = bytearray(content)
    (at,) = struct.unpack_from("<I", content, 4)
    (n,) = struct.unpack_from("<H", content, at)
    for _ in range(draw(st.integers(1, 3))):
        entry = at + 2 + 12 * draw(st.integers(0, n - 1))
        part, form = draw(st.sampled_from([(0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I"), (8, "H")]))
        tags = st.sampled_from(
            (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 324, 330, 347)
        )
        number = draw(tags | st.sampled_from(_EXTREME) | st.integers(0, 300))
        struct.pack_into("<" + form, result, entry + part, number % 2 ** (16 if form == "H" else 32))
    return bytes(result)


_EXTREME = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    12,
    13,
    16,
    17,
    18,
    32773,
    34712,
    34925,
    50000,
    2**16 - 1,
    2**31,
    2**32 - 1,
)


def _changed_tiff(content: bytes) -> st.SearchStrategy[bytes]:
    return _changed_binary(content) | _changed_directory(content)


def _tiff_by_gdal(path: Path) -> Iterator[Array]:
    """All bands but one that is opacity; of several images, the first band of each."""
    import rasterio

    with rasterio.open(path, driver="GTiff") as file:
        colours = [kind.name for kind in file.colorinterp]
        bands = [i + 1 for i, colour in enumerate(colours) if colour != "alpha" or len(colours) == 1]
        first = colours.index("alpha") + 1 if "alpha" in colours and len(colours) > 1 else None
        yield file.read([i for i in range(1, file.count + 1) if i != first]).transpose(1, 2, 0)
        yield file.read(bands).transpose(1, 2, 0)
        names = file.subdatasets
    if names:
        names = [f"GTIFF_DIR:{i + 1}:{path}" for i in range(len(names))]
        yield np.stack([_one_page(name) for name in names])


def _one_page(name: str) -> Array:
    import rasterio

    with rasterio.open(name) as page:
        return np.asarray(page.read(1))


def _both(by_others: Callable[[str], Callable[[Path], Iterator[Array]]]) -> tuple[Reading, Reading]:
    """A file's cube, and its mask."""
    return (
        Reading("cube", _read_cube, _cube_differs(by_others("cube"))),
        Reading("mask", _read_named_mask, _mask_differs(by_others("mask"))),
    )


def _one(by_others: Callable[[Path], Iterator[Array]]) -> tuple[Reading, Reading]:
    """A file's array as a cube, and as a mask."""

    def mask_differs(path: Path, found: Array) -> bool:
        others = (other.reshape(SIZE) for other in by_others(path) if other.size == found.size)
        return not np.array_equal(found, MASK) and not any(
            np.array_equal(found, other != 0) for other in others
        )

    return Reading("cube", _read_cube, _cube_differs(by_others)), Reading("mask", _read_mask, mask_differs)


FORMATS = {
    "envi": Format(
        ".hdr",
        _envi_seeds,
        lambda envi: _changed_header(envi) | _changed_header(envi) | changed_bytes(envi),
        _one(_envi_by_others),
        _write_envi,
    ),
    "npy": Format(".npy", _npy_seeds, _changed_npy, _one(_npy_by_numpy)),
    "npz": Format(
        ".npz",
        _npz_seeds,
        lambda npz: (
            changed_bytes(npz)
            | changed_words(npz)
            | _changed_members(npz, lambda _, part: _changed_npy(part))
        ),
        _both(_npz_by_numpy),
    ),
    "mat": Format(
        ".mat",
        _mat_seeds,
        lambda mat: _changed_binary(mat) | _changed_elements(mat) | _changed_elements(mat),
        _both(_mat_by_scipy),
    ),
    "mat73": Format(".mat", _mat73_seeds, _changed_binary, _both(_hdf5_by_h5py)),
    "hdf5": Format(".h5", _hdf5_seeds, _changed_binary, _both(_hdf5_by_h5py)),
    "zarr": Format(".zarr", _zarr_seeds, _changed_zarr, _both(_zarr_by_zarr), _write_zarr),
    "tiff": Format(".tif", _tiff_seeds, _changed_tiff, _one(_tiff_by_gdal)),
}
"""By the name under which the program takes them."""
