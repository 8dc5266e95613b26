"""Zarr stores, folders or zipped, through zarr."""

import base64
import logging
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.sources.blosc_chunks import checked
from cuvis_ai.data.sources.contents import Array, CubeContents
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.data.sources.decoding import UndecodableError
from cuvis_ai.data.sources.member_contents import cube_contents
from cuvis_ai.data.sources.members import Member, is_numeric, upright
from cuvis_ai.data.sources.urls import Url
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError, MissingExtraError, import_extra, printable

_log = logging.getLogger(__name__)
_CHUNKS_AT_ONCE = 2
"""Chunks in memory while a block is read; zarr's own 10 take three times the memory, not less time."""


def read(path: Path | Url, key: str | None) -> CubeContents:
    """Return the cube in a zarr store: the array itself, or an array of the group.

    Args:
        path: a folder or a zip; or a URL, as text, which zarr opens through fsspec.
        key: the array's name in the store.

    Raises:
        CubeFormatError: it holds no array of 3 axes, or several and no key.
        MissingExtraError: zarr is not installed.
    """
    return cube_contents(Path(path), members(path), key)


def members(path: Path | Url) -> dict[str, Member]:
    """Return the numeric arrays by their path in the store; a store that is one array has the key ""."""
    zarr = import_extra("zarr", "zarr", f"reading {path}")
    with _opened(path) as root:
        nodes = {"": root} if isinstance(root, zarr.Array) else dict(root.members(max_depth=None))
        named = _named_by_ome({name: node for name, node in [("", root), *nodes.items()] if node is not None})
        return {
            name: upright(
                Member(
                    shape=tuple(node.shape),
                    load=partial(_load, path, name),
                    dtype=node.dtype,
                    attributes=dict(node.attrs) | _no_data(node),
                    dimensions=_dimensions(node) or named.get(name, ()),
                )
            )
            for name, node in nodes.items()
            if isinstance(node, zarr.Array) and is_numeric(node.dtype)
        }


def _dimensions(node: Any) -> tuple[str | None, ...]:
    """Return the names of the axes: format 3's own, or the attribute that xarray writes in format 2."""
    named = node.metadata.dimension_names if node.metadata.zarr_format == 3 else None
    return tuple(named or node.attrs.get("_ARRAY_DIMENSIONS", ()))


def _named_by_ome(nodes: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the names of the axes of OME-Zarr's images, which their group says, by array."""
    found = {}
    for group, node in nodes.items():
        try:
            for image in node.attrs.get("ome", node.attrs).get(
                "multiscales", ()
            ):  # "ome" from version 0.5 on
                axes = tuple(axis["name"] if isinstance(axis, dict) else axis for axis in image["axes"])
                for dataset in image["datasets"]:
                    found[f"{group}/{dataset['path']}".strip("/")] = axes
        except (AttributeError, KeyError, TypeError) as err:
            _log.warning("The OME description of `%s` is left out as faulty: %r.", group, err)
    return found


def _no_data(node: Any) -> dict[str, Any]:
    """Return the fill value, if it stands for "no data".

    xarray writes `_FillValue` as the array's fill value in format 2, and as an attribute in format 3, real
    numbers as base64. Otherwise a fill value of 0 is zarr's own and says nothing.
    """
    said = node.attrs.get("_FillValue")
    if isinstance(said, str) and node.dtype.kind == "f":
        with suppress(ValueError, struct.error):  # what is no base64 is reported as no number
            return {"_FillValue": struct.unpack("<d", base64.standard_b64decode(said))[0]}
    fill = node.fill_value
    by_xarray = node.metadata.zarr_format == 2 and "_ARRAY_DIMENSIONS" in node.attrs
    declared = node.metadata.fill_value is not None and (by_xarray or fill != 0)
    return {"_FillValue": fill} if said is None and declared else {}


@contextmanager
def _opened(path: Path | Url) -> Iterator[Any]:
    """Open a store's group or array, and close it if it is zipped."""
    zarr = import_extra("zarr", "zarr", f"reading {path}")
    if isinstance(path, str):
        yield _remote(zarr, path)
        return
    if path.is_file() and not zipfile.is_zipfile(path):
        raise CubeFormatError(f"{path}: expected a zarr store, a folder or zipped, got another file.")
    try:
        if path.is_dir():
            yield zarr.open(path, mode="r")
        else:
            _check_names(path)
            with zarr.storage.ZipStore(path, mode="r") as store:
                yield zarr.open(store, mode="r")
    except FileNotFoundError as err:
        raise CubeFormatError(f"{path}: expected a zarr store, got: {err}.") from err


def _remote(zarr: Any, url: Url) -> Any:
    """Return a store's group or array behind a URL.

    Raises:
        DatasetNotFoundError: there is none, or the server does not answer.
        MissingExtraError: fsspec, or what it needs for this protocol, is not installed.
    """
    import_extra("fsspec", "zarr", f"reading {url}")
    try:
        return zarr.open(url, mode="r")
    except ImportError as err:
        raise MissingExtraError(f"{url}: expected a package that fsspec reads it with, got: {err}") from err
    except Exception as err:  # each protocol's package has errors of its own
        said = printable(str(err), 300)
        raise DatasetNotFoundError(f"{url}: expected a zarr store, got: {said}. Correct the URL.") from err


def _check_names(path: Path) -> None:
    """Raise an error for a zip of a group that is a member of itself: one without a name."""
    with zipfile.ZipFile(path) as archive:
        wrong = [name for name in archive.namelist() if "" in name.removesuffix("/").split("/")]
    if wrong:
        raise UndecodableError(f"expected members with names, got {wrong[:3]}.")


def _load(path: Path | Url, key: str, *box: slice) -> Array:
    """Return a box of one array, as it is stored; chunks that it touches are decoded once."""
    zarr = import_extra("zarr", "zarr", f"reading {path}")
    with zarr.config.set({"async.concurrency": _CHUNKS_AT_ONCE}), _opened(path) as root:
        return np.asarray(checked(root[key] if key else root)[box or ...])


FORMAT = CubeFormat(
    read=read,
    read_url=read,
    members=members,
    suffixes=(".zarr",),
    other_suffixes=(".zip",),
    folder_files=("zarr.json", ".zarray", ".zgroup"),
)
