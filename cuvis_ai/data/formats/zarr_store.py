"""Zarr stores, folders or zipped, through zarr."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.formats.contents import Array, CubeContents
from cuvis_ai.data.formats.members import Member, axis_order, contents, cube_key, cube_shape, is_numeric
from cuvis_ai.errors import CubeFormatError, import_extra

_CHUNKS_AT_ONCE = 2
"""Chunks in memory while a block is read; zarr's own 10 take three times the memory, not less time."""


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube in a zarr store: the array itself, or an array of the group.

    Raises:
        CubeFormatError: it holds no array of 3 axes, or several and no key.
        MissingExtraError: zarr is not installed.
    """
    arrays = members(path)
    name = cube_key(path, arrays, key)
    with _opened(path) as root:
        dtype = (root[name] if name else root).dtype
    source = ZarrSource(
        path=path, key=name, shape=cube_shape(arrays, name), dtype=dtype, order=axis_order(arrays, name)
    )
    return contents(arrays, name, source)


def is_store(path: Path) -> bool:
    """Tell whether a folder is a zarr store of format 2 or 3."""
    return any((path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup"))


def members(path: Path) -> dict[str, Member]:
    """Return the numeric arrays by their path in the store; a store that is one array has the key ""."""
    zarr = import_extra("zarr", "zarr", f"reading {path}")
    with _opened(path) as root:
        nodes = {"": root} if isinstance(root, zarr.Array) else dict(root.members(max_depth=None))
        return {
            name: Member(
                shape=tuple(node.shape),
                load=partial(_load, path, name),
                attributes=dict(node.attrs),
                dimensions=_dimensions(node),
            )
            for name, node in nodes.items()
            if isinstance(node, zarr.Array) and is_numeric(node.dtype)
        }


def _dimensions(node: Any) -> tuple[str | None, ...]:
    """Return the names of the axes: format 3's own, or the attribute that xarray writes in format 2."""
    named = node.metadata.dimension_names if node.metadata.zarr_format == 3 else None
    return tuple(named or node.attrs.get("_ARRAY_DIMENSIONS", ()))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a store's group or array, and close it if it is zipped."""
    zarr = import_extra("zarr", "zarr", f"reading {path}")
    if path.is_file() and not zipfile.is_zipfile(path):
        raise CubeFormatError(f"{path}: expected a zarr store, a folder or zipped, got another file.")
    try:
        if path.is_dir():
            yield zarr.open(path, mode="r")
        else:
            with zarr.storage.ZipStore(path, mode="r") as store:
                yield zarr.open(store, mode="r")
    except FileNotFoundError as err:
        raise CubeFormatError(f"{path}: expected a zarr store, got: {err}.") from err


def _load(path: Path, key: str, box: Any = ...) -> Array:
    """Return a box of one array, as it is stored."""
    zarr = import_extra("zarr", "zarr", f"reading {path}")
    with zarr.config.set({"async.concurrency": _CHUNKS_AT_ONCE}), _opened(path) as root:
        return np.asarray((root[key] if key else root)[box])


@dataclass(frozen=True, kw_only=True)
class ZarrSource:
    """An array of a zarr store, opened for each block so that it can be pickled and forked.

    Args:
        path: the store.
        key: the array's path in it; "" where the store is the array.
        shape: (h, w, c).
        dtype: its number type.
        order: the axes of `shape` as the array has them.
    """

    path: Path
    key: str
    shape: tuple[int, int, int]
    dtype: "np.dtype[Any]"
    order: tuple[int, int, int]

    def read(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return one box; chunks that it touches are decoded once."""
        box = tuple((rows, columns, bands)[axis] for axis in self.order)
        return _load(self.path, self.key, box).transpose(np.argsort(self.order))
