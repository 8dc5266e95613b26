"""MATLAB files against SciPy and h5py; the scenes of the shared data."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.masks import read_mask
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


@pytest.mark.parametrize("version", ["5", "7.3"])
@pytest.mark.parametrize("key", [None, "scene/cube"])
def test_cube_in_a_struct(tmp_path: Path, version: str, key: str | None) -> None:
    path = tmp_path / "a.mat"
    if version == "5":
        scipy.io.savemat(path, {"scene": {"cube": V, "mask": np.eye(4, 5)}})
    else:
        write_73(path, **{"scene/cube": V, "scene/mask": np.eye(4, 5)})
    np.testing.assert_array_equal(np.asarray(read_cube(path, key=key).values), V)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_cubes_in_a_cell(tmp_path: Path, version: str) -> None:
    path = tmp_path / "a.mat"
    if version == "5":
        cells = np.empty((1, 2), dtype=object)
        cells[0, 0], cells[0, 1] = V, V[:2]
        scipy.io.savemat(path, {"cells": cells})
    else:
        write_73(path, **{"#refs#/a": V, "#refs#/b": V[:2]})
        with h5py.File(path, "a") as file:
            references = np.array([[file["#refs#/a"].ref], [file["#refs#/b"].ref]], dtype=h5py.ref_dtype)
            file.create_dataset("cells", data=references).attrs["MATLAB_class"] = np.bytes_("cell")
    for i, values in enumerate((V, V[:2])):
        np.testing.assert_array_equal(np.asarray(read_cube(path, key=f"cells/{i}").values), values)


@pytest.mark.parametrize("version", ["4", "5", "7.3"])
def test_a_mask_may_be_sparse(tmp_path: Path, version: str) -> None:
    path = tmp_path / "a.mat"
    mask = scipy.sparse.csc_matrix(([1.0, 2.0, 1.0], ([0, 2, 3], [1, 1, 4])), shape=(4, 5))
    if version != "7.3":
        scipy.io.savemat(path, {"mask": mask}, format=version)
    else:
        with h5py.File(path, "w") as file:
            file["mask/data"], file["mask/ir"] = mask.data, mask.indices.astype("u8")
            file["mask/jc"] = mask.indptr.astype("u8")
            file["mask"].attrs.update({"MATLAB_sparse": np.uint64(4), "MATLAB_class": np.bytes_("double")})
    np.testing.assert_array_equal(read_mask(path, (4, 5)), mask.toarray() != 0)


@pytest.mark.parametrize("value", [1, 16, 64, 128, 208, 255])
def test_a_changed_type_does_not_end_the_process(tmp_path: Path, value: int) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"cube": V.astype("f4")})
    content = bytearray(path.read_bytes())
    content[content.index(b"cube") + 5] = value
    path.write_bytes(content)
    with pytest.raises(CubeFormatError, match=r"a\.mat: expected"):
        read_cube(path)
