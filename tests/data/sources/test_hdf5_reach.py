"""HDF5 files that reach for other files."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.masks import read_mask
from cuvis_ai.errors import CubeFormatError

ELSEWHERE = np.arange(24, dtype="u1").reshape(4, 3, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for files, beside two that are not in it."""
    (tmp_path / "secret").write_bytes(b"password" * 3)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["cube"] = ELSEWHERE
        file["vector"] = np.arange(5)
    inside = tmp_path / "inside"
    inside.mkdir()
    return inside


def virtual(path: Path, source: str, key: str = "cube") -> Path:
    layout = h5py.VirtualLayout((4, 3, 2), "u1")
    layout[:] = h5py.VirtualSource(source, key, (4, 3, 2))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("made", layout)
    return path


def external(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("cube", (4, 3, 2), "u1", external=[(str(path.parent.parent / "secret"), 0, 24)])
    return path


def virtual_of_external(path: Path) -> Path:
    external(path.with_name("part.h5"))
    return virtual(path, "part.h5")


def virtual_of_a_link(path: Path) -> Path:
    with h5py.File(path.with_name("part.h5"), "w") as file:
        file["cube"] = h5py.ExternalLink(str(path.parent.parent / "other.h5"), "cube")
    return virtual(path, "part.h5")


def virtual_of_a_symbolic_link(path: Path) -> Path:
    path.with_name("part.h5").symlink_to(path.parent.parent / "other.h5")
    return virtual(path, "part.h5")


def virtual_of_itself(path: Path) -> Path:
    return virtual(path, ".", "made")


REACHING: list[Callable[[Path], Path]] = [
    external,
    lambda path: virtual(path, "../other.h5"),
    lambda path: virtual(path, str(path.parent.parent / "other.h5")),
    virtual_of_external,
    virtual_of_a_link,
    virtual_of_a_symbolic_link,
    virtual_of_itself,
]


@pytest.mark.parametrize("write", REACHING)
def test_numbers_from_outside_the_folder_are_refused(write: Callable[[Path], Path], folder: Path) -> None:
    with pytest.raises(CubeFormatError, match=r"cube\.h5: expected"):
        np.asarray(read_cube(write(folder / "cube.h5")).values)


def test_a_missing_part_is_not_looked_for_in_the_working_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)  # HDF5 would take other.h5 from there
    cube = read_cube(virtual(folder / "cube.h5", "other.h5"))
    with pytest.raises(CubeFormatError, match="made of files in its folder"):
        np.asarray(cube.values)


def test_parts_in_the_same_folder_are_read(folder: Path) -> None:
    with h5py.File(folder / "part.h5", "w") as file:
        file["cube"] = ELSEWHERE
    assert np.array_equal(np.asarray(read_cube(virtual(folder / "cube.h5", "part.h5")).values), ELSEWHERE)


def test_wavelengths_from_elsewhere_are_left_out(folder: Path) -> None:
    with h5py.File(folder / "cube.h5", "w") as file:
        file["cube"] = ELSEWHERE
        file.create_dataset("wavelength", (2,), "u1", external=[(str(folder.parent / "secret"), 0, 2)])
    cube = read_cube(folder / "cube.h5")
    assert cube.wavelengths is None
    assert np.array_equal(np.asarray(cube.values), ELSEWHERE)


@pytest.mark.parametrize("part", ["jc", "ir", "data"])
def test_parts_of_a_sparse_mask_behind_a_link_are_refused(part: str, folder: Path) -> None:
    with h5py.File(folder / "mask.mat", "w") as file:
        group = file.create_group("mask")
        group.attrs["MATLAB_sparse"] = np.uint64(4)
        for name in ("jc", "ir", "data"):
            elsewhere = h5py.ExternalLink(str(folder.parent / "other.h5"), "vector")
            group[name] = elsewhere if name == part else np.arange(5 if name == "jc" else 4)
    with pytest.raises(CubeFormatError, match=r"mask\.mat: expected"):
        read_mask(folder / "mask.mat", (4, 4))


def test_a_cube_behind_an_external_link_is_no_array_of_the_file(folder: Path) -> None:
    with h5py.File(folder / "cube.h5", "w") as file:
        file["cube"] = h5py.ExternalLink(str(folder.parent / "other.h5"), "cube")
    with pytest.raises(CubeFormatError, match="no numeric array"):
        read_cube(folder / "cube.h5", key=None)
