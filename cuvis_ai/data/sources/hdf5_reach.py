"""What an HDF5 file may reach: its own data sets, and those of HDF5 files in its folder.

HDF5 knows three ways out of a file, and follows each without asking: external storage takes any bytes of the
machine for numbers, external links and virtual data sets name other HDF5 files.
"""

from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.sources.contents import Array
from cuvis_ai.data.sources.hdf5_chunks import check_chunks
from cuvis_ai.errors import CubeFormatError, import_extra


def linked(path: Path, group: Any, name: str) -> Any:
    """Return what lies below a group; only links inside the file are followed.

    Args:
        path: the file, for messages.
        group: h5py's.
        name: the path below it.

    Raises:
        CubeFormatError: there is nothing, or something of another file.
    """
    h5py = import_extra("h5py", "hdf5", f"reading {path}")
    node = group
    for part in filter(None, name.split("/")):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            got = "nothing" if link is None else f"a {type(link).__name__}"
            raise CubeFormatError(f"{path}: expected `{name}` in the file itself, got {got}. Write it there.")
        node = node[part]
    return node


def numbers(path: Path, group: Any, name: str) -> Array:
    """Return all numbers of a data set below a group, after `linked` and `check_reach`."""
    dataset = linked(path, group, name)
    check_reach(path, dataset)
    return np.asarray(dataset[()])


def check_reach(path: Path, dataset: Any) -> None:
    """Raise an error for a data set whose numbers lie outside the file's folder.

    Args:
        path: the file.
        dataset: h5py's.

    Raises:
        CubeFormatError: it is stored elsewhere, or virtual and made of something elsewhere.
        UndecodableError: see `check_chunks`.
    """
    _check(path.resolve(), dataset, path, frozenset())


def _check(path: Path, dataset: Any, shown: Path, above: frozenset[tuple[Path, str]]) -> None:
    """Check a data set of the file `path`; `above` are those that are made of it."""
    if dataset.external:
        names = [name for name, _, _ in dataset.external[:3]]
        raise CubeFormatError(
            f"{shown}: expected numbers in the file, got `{dataset.name}` in other files: {names}. "
            "Copy them in with `h5repack`, if you know what they are."
        )
    place = (path, str(dataset.name))
    if place in above:
        raise CubeFormatError(f"{shown}: expected numbers, got `{dataset.name}`, which is made of itself.")
    check_chunks(dataset)
    for source in dataset.virtual_sources() if dataset.is_virtual else ():
        _check_source(path, source, shown, above | {place})


def _check_source(path: Path, source: Any, shown: Path, above: frozenset[tuple[Path, str]]) -> None:
    """Check one data set that a virtual one is made of."""
    h5py = import_extra("h5py", "hdf5", f"reading {shown}")
    target = path if source.file_name == "." else (path.parent / source.file_name).resolve()
    # A file that is missing here HDF5 would look for elsewhere; a percent sign makes a pattern of the name.
    if "%" in source.file_name or not target.is_relative_to(path.parent) or not target.is_file():
        raise CubeFormatError(
            f"{shown}: expected a virtual data set made of files in its folder, got {source.file_name!r}. "
            "Copy that file there, or write the numbers into one file."
        )
    with h5py.File(target, "r") as file:
        _check(target, linked(shown, file, source.dset_name), shown, above)
