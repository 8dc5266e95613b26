"""MATLAB files against SciPy and h5py; the scenes of the shared data."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.sources import mat5
from cuvis_ai.errors import CubeFormatError

SCENES = Path(__file__).parents[3] / "../shared/data/scenes"
V = np.arange(60, dtype=np.float64).reshape(4, 5, 3) / 7
KINDS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c16"]


def write_73(path: Path, **arrays: np.ndarray) -> Path:
    """Write arrays as MATLAB 7.3 does: 512 bytes of text, then HDF5 with the axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            node = file.create_dataset(name, data=array.T, chunks=tuple(min(2, n) for n in array.T.shape))
            node.attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return path


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_version_5_equals_scipy(tmp_path: Path, kind: str, compress: bool) -> None:
    path = tmp_path / "cube.mat"
    values = (V * 9).astype(kind)
    scipy.io.savemat(path, {"cube": values, "map": np.eye(4)}, do_compression=compress)
    oracle = scipy.io.loadmat(path)["cube"]
    cube = read_cube(path)
    assert cube.dtype == oracle.dtype
    assert cube.shape == (4, 5, 3)
    np.testing.assert_array_equal(np.asarray(cube.values), values)
    np.testing.assert_array_equal(cube.values[1:3, ::-2, [2, 0]], values[1:3, ::-2][:, :, [2, 0]])


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_version_73_has_its_axes_restored(tmp_path: Path, kind: str) -> None:
    values = (V * 9).astype(kind)
    path = write_73(tmp_path / "cube.mat", cube=values, map=np.eye(4, 5))
    cube = read_cube(path)
    with h5py.File(path) as file:
        oracle = file["cube"][()].transpose(2, 1, 0)
    assert cube.dtype == oracle.dtype
    np.testing.assert_array_equal(np.asarray(cube.values), oracle)
    np.testing.assert_array_equal(cube.values[1:3, 2, ::2], values[1:3, 2, ::2])


def test_hdf5_that_is_only_called_mat_is_not_reversed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "cube.mat", "w") as file:
        file["cube"] = V
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "cube.mat").values), V)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_several_cubes_need_a_key(tmp_path: Path, version: str) -> None:
    path = tmp_path / "cubes.mat"
    if version == "5":
        scipy.io.savemat(path, {"a": V, "b": V[:2], "name": "text"})
    else:
        write_73(path, a=V, b=V[:2])
    with pytest.raises(CubeFormatError, match=r"`a` \(4, 5, 3\), `b` \(2, 5, 3\)\. Pass key="):
        read_cube(path)
    np.testing.assert_array_equal(np.asarray(read_cube(path, key="b").values), V[:2])


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_wavelengths_beside_the_cube(tmp_path: Path, version: str) -> None:
    path = tmp_path / "cube.mat"
    wavelengths = np.array([[0.4, 0.5, 0.6]])
    if version == "5":
        scipy.io.savemat(path, {"cube": V, "Wavelengths": wavelengths})
    else:
        write_73(path, cube=V, Wavelengths=wavelengths)
    with pytest.warns(UserWarning, match="taken as µm"):
        cube = read_cube(path)
    np.testing.assert_allclose(cube.wavelengths, [400, 500, 600])


def test_file_without_a_cube_lists_what_it_has(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "map.mat", {"map": np.eye(4), "text": "abc"})
    with pytest.raises(CubeFormatError, match=r"got `map` \(4, 4\)\. Is this the right file"):
        read_cube(tmp_path / "map.mat")


def test_file_that_is_not_matlab_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cube.mat"
    path.write_bytes(b"no matlab file at all" * 20)
    with pytest.raises(CubeFormatError, match=r"expected a MATLAB file \(420 bytes\)"):
        read_cube(path)


def test_block_by_block_decodes_once(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "cube.mat"
    scipy.io.savemat(path, {"cube": V})
    cube = read_cube(path)
    decoded = []
    variables = mat5.variables
    monkeypatch.setattr(mat5, "variables", lambda *a: decoded.append(a) or variables(*a))
    for row in range(4):
        np.testing.assert_array_equal(cube.values[row], V[row])
    assert len(decoded) == 1


@pytest.mark.skipif(not SCENES.exists(), reason=f"the scenes are not at {SCENES}")
@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("abu-airport-4", (100, 100, 191), np.uint16),
        ("abu-urban-2", (100, 100, 207), np.int16),
        ("hydice-urban-175", (80, 100, 175), np.float64),
    ],
)
def test_scenes_equal_scipy(name: str, shape: tuple[int, int, int], dtype: type) -> None:
    path = SCENES / f"{name}.mat"
    cube = read_cube(path)
    assert (cube.shape, cube.dtype) == (shape, dtype)
    np.testing.assert_array_equal(np.asarray(cube.values), scipy.io.loadmat(path)["data"])


@pytest.mark.skipif(not SCENES.exists(), reason=f"the scenes are not at {SCENES}")
def test_gulfport_equals_h5py() -> None:
    path = SCENES / "muufl-gulfport-v73.mat"
    cube = read_cube(path)
    assert (cube.shape, cube.dtype) == ((100, 100, 64), np.float32)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(np.asarray(cube.values), file["data"][()].transpose(2, 1, 0))
