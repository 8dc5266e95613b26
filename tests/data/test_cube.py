"""`read_cube`: what it reads, from whatever file, and what it refuses."""

import json
import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path

import h5py
import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError
from tests.data.files import write_envi

V = np.arange(6 * 7 * 5, dtype=np.int32).reshape(6, 7, 5)


@pytest.fixture
def npy(tmp_path: Path) -> Path:
    path = tmp_path / "cube.npy"
    np.save(path, V)
    return path


def test_only_the_block_is_read(tmp_path: Path) -> None:
    # A sparse file of 40 GB: reading more than the block would take minutes and all the memory.
    path = tmp_path / "huge.img"
    shape = (100_000, 1_000, 200)
    with path.open("wb") as file:
        file.truncate(2 * 100_000 * 1_000 * 200)
    path.with_suffix(".hdr").write_text(
        "ENVI\nlines = 100000\nsamples = 1000\nbands = 200\ndata type = 12\ninterleave = bsq\n"
    )
    cube = read_cube(path)
    assert cube.shape == shape
    assert cube.values[99_990:, 10:20, ::50].sum() == 0
    assert cube.values[::10_000, ::100].shape == (10, 10, 200)


def test_cube_travels_to_worker_processes(npy: Path) -> None:
    cube = pickle.loads(pickle.dumps(read_cube(npy)))
    assert len(pickle.dumps(cube)) < 2000  # without the values
    np.testing.assert_array_equal(np.asarray(cube.values), V)


def test_cube_is_frozen_and_brief_in_messages(npy: Path) -> None:
    cube = read_cube(str(npy))
    assert (cube.shape, cube.dtype, cube.path) == (V.shape, V.dtype, npy)
    assert "shape=(6, 7, 5), dtype=int32" in repr(cube)
    with pytest.raises(FrozenInstanceError):
        cube.no_data = 1.0


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"nowhere.hdr: expected a cube, got no such file"):
        read_cube(tmp_path / "nowhere.hdr")


def test_folder_that_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(CubeFormatError, match="expected a file or a zarr store, got a folder"):
        read_cube(tmp_path)


def test_unknown_file_names_the_formats(tmp_path: Path) -> None:
    path = tmp_path / "cube.xyz"
    path.write_bytes(b"hello")
    with pytest.raises(
        CubeFormatError, match=r"expected .*\.mat, .*its header beside it, got a file of 5 bytes"
    ):
        read_cube(path)


def test_empty_cube_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", np.zeros((0, 4, 5)))
    with pytest.raises(CubeFormatError, match=r"at least one value, got \(0, 4, 5\)"):
        read_cube(tmp_path / "cube.npy")


@pytest.mark.parametrize("name", ["cube.dat", "cube", "cube.npz"])
def test_contents_count_more_than_the_suffix(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        np.save(file, V)
    np.testing.assert_array_equal(np.asarray(read_cube(path).values), V)
    path.unlink()
    with h5py.File(path, "w") as file:
        file["cube"] = V
    np.testing.assert_array_equal(np.asarray(read_cube(path).values), V)


def test_a_doubtful_order_is_logged_as_it_was_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.save(tmp_path / "a.npy", np.zeros((30, 12, 10)))
    assert read_cube(tmp_path / "a.npy").shape == (30, 12, 10)
    assert "30 rows, 12 columns and 10 bands" in caplog.text
    caplog.clear()
    assert read_cube(tmp_path / "a.npy", axes="hwc").shape == (30, 12, 10)
    assert read_cube(tmp_path / "a.npy", axes="chw").shape == (12, 10, 30)
    assert read_cube(tmp_path / "a.npy", wavelengths=np.linspace(400, 900, 30)).shape == (12, 10, 30)
    assert not caplog.text


@pytest.mark.parametrize("axes", ["hw", "hwb", "hhc", "HWC", ""])
def test_axes_that_are_no_order_are_refused(tmp_path: Path, axes: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 5)))
    with pytest.raises(ConfigError, match=f"`axes`: expected one of hwc, .* got '{axes}'"):
        read_cube(tmp_path / "a.npy", axes=axes)


def test_as_a_data_array(tmp_path: Path) -> None:
    pytest.importorskip("xarray", reason="to_xarray() needs the extra `xarray`")
    cube = np.random.default_rng(0).integers(0, 4000, (3, 4, 5)).astype("i2")
    fields = {
        "wavelength": "{4,5,6,7,8}",
        "wavelength_units": "um",
        "bbl": "{1,1,0,1,1}",
        "data_ignore_value": "-9",
        "reflectance_scale_factor": "10000",
    }
    write_envi(tmp_path / "a.hdr", cube, **fields)
    array = read_cube(tmp_path / "a.hdr").to_xarray()
    assert (array.dims, array.dtype, array.encoding["_FillValue"]) == (("y", "x", "band"), np.int16, -9)
    np.testing.assert_array_equal(array, cube)
    np.testing.assert_array_equal(array.wavelength, [4000, 5000, 6000, 7000, 8000])
    assert array.attrs == {"scale_factor": 1e-4, "add_offset": 0.0}
    assert array.good_band.values.tolist() == [True, True, False, True, True]


@pytest.mark.parametrize(
    ("dtype", "no_data", "held"), [("u1", -9999, False), ("u1", 255, True), ("f4", np.nan, True)]
)
def test_a_data_array_has_a_fill_value_that_its_type_holds(
    tmp_path: Path, dtype: str, no_data: float, held: bool
) -> None:
    pytest.importorskip("xarray", reason="to_xarray() needs the extra `xarray`")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["r"] = np.ones((3, 4, 5), dtype)
        file["r"].attrs["no_data"] = no_data
    assert ("_FillValue" in read_cube(tmp_path / "a.h5").to_xarray().encoding) == held


def test_wavelengths_of_another_count_are_refused(npy: Path) -> None:
    with pytest.raises(ConfigError, match="expected 5 `wavelengths`.*got 2"):
        read_cube(npy, wavelengths=[400, 500])


@pytest.mark.parametrize("rows", [2**31, 2**62, 10**400])
def test_a_cube_that_says_it_is_endless_is_refused(tmp_path: Path, rows: int) -> None:
    zarr = pytest.importorskip("zarr")
    store = tmp_path / "a.zarr"
    array = zarr.create_array(store, shape=(2, 3, 4), chunks=(2, 3, 4), dtype="u1")
    array[...] = 1
    header = store / "zarr.json"
    fields = json.loads(header.read_text())
    fields["shape"][0] = rows
    header.write_text(json.dumps(fields))
    with pytest.raises(CubeFormatError, match="damaged header"):
        read_cube(store)
