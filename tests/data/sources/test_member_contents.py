"""What NetCDF's attributes mean, as the NetCDF User's Guide and netCDF4-python define it."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_batch import read_batch
from cuvis_ai.errors import CubeFormatError

COUNTS = np.random.default_rng(0).integers(100, 1000, (12, 10, 6)).astype("i2")
HOLE = np.zeros((12, 10), dtype=bool)
HOLE[:3, :4] = True


def write(path: Path, values: np.ndarray, **attributes: Any) -> Path:
    with h5py.File(path, "w") as file:
        file["r"] = values
        file["r"].attrs.update(attributes)
    return path


def with_hole(value: float, dtype: str = "i2") -> np.ndarray:
    return np.where(HOLE[..., None], value, COUNTS).astype(dtype)


@pytest.mark.parametrize(
    ("values", "attributes"),
    [
        (with_hole(-9), {"_FillValue": np.int16(-9)}),
        (with_hole(-8), {"_FillValue": np.int16(-9), "missing_value": np.int16(-8)}),
        (with_hole(-7), {"missing_value": np.array([-9, -8, -7], "i2")}),
        (with_hole(-9), {"missing_value": "-9"}),
        (with_hole(-9), {"valid_min": np.int16(0)}),
        (with_hole(3000), {"valid_max": np.int16(2999)}),
        (with_hole(3000), {"valid_range": np.array([0, 2999], "i2")}),
        (with_hole(3000), {"valid_range": np.array([0.0, 0.2999]), "scale_factor": 1e-4}),  # in scaled units
        (with_hole(-32767), {}),  # NetCDF's own
        (with_hole(65535, "u2"), {}),
        (with_hole(9.969209968386869e36, "f4"), {}),
        (with_hole(9.969209968386869e36, "f8"), {}),
        (with_hole(-1), {"_Unsigned": "true", "_FillValue": np.int16(-1)}),  # 65535
        (with_hole(-2), {"_Unsigned": "true", "valid_max": np.int16(-3)}),  # 65534 above 65533
    ],
)
def test_values_that_are_no_measurements(
    tmp_path: Path, values: np.ndarray, attributes: dict[str, Any]
) -> None:
    batch = read_batch(write(tmp_path / "a.nc", values, **attributes))
    np.testing.assert_array_equal(~batch["valid"][0].numpy(), HOLE)


@pytest.mark.parametrize(
    ("name", "values"),
    [("a.h5", with_hole(-32767)), ("a.nc", with_hole(255, "u1")), ("a.nc", with_hole(-127, "i1"))],
)
def test_undeclared_values_are_measurements(tmp_path: Path, name: str, values: np.ndarray) -> None:
    assert "valid" not in read_batch(write(tmp_path / name, values))


@pytest.mark.parametrize(
    ("stored", "said", "meant"),
    [("i2", "true", "u2"), ("i1", "true", "u1"), (">i4", "TRUE", "u4"), ("u1", "false", "i1")],
)
def test_the_sign_of_integers_is_as_declared(tmp_path: Path, stored: str, said: str, meant: str) -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 4, 2)).astype(stored) - np.array(9, stored)
    cube = read_cube(write(tmp_path / "a.nc", values, _Unsigned=said))
    assert cube.dtype == np.dtype(meant)
    native = values.astype(np.dtype(stored).newbyteorder("="))
    np.testing.assert_array_equal(np.asarray(cube.values), native.view(meant))


@pytest.mark.parametrize("name", ["bbl", "good_wavelengths", "good_bands"])
def test_flags_of_good_bands_beside_the_cube(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.nc", COUNTS)
    with h5py.File(path, "a") as file:
        file[f"sensor_band_parameters/{name}"] = np.array([1, 0, 1, 1, 1, 1], "f4")
    assert np.flatnonzero(read_cube(path).bad_bands).tolist() == [1]


def test_a_coordinate_along_the_bands_counts_if_it_says_that_it_holds_wavelengths(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nc", COUNTS)
    with h5py.File(path, "a") as file:
        for i, (axis, n) in enumerate((("y", 12), ("x", 10), ("foo", 6))):
            file[axis] = np.linspace(0.4, 0.9, n)
            file[axis].make_scale(axis)
            file["r"].dims[i].attach_scale(file[axis])
    assert read_cube(path).wavelengths is None
    with h5py.File(path, "a") as file:
        file["foo"].attrs["units"] = "um"
    np.testing.assert_allclose(read_cube(path).wavelengths, [400, 500, 600, 700, 800, 900])


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"missing_value": "none"}, "expected a number for `missing_value`, got 'none'"),
        ({"wavelengths": np.array([b"a", b"b"])}, "expected numbers for its wavelengths"),
        ({"bbl": np.array([1, 1])}, "expected 6 bad-band flags"),
    ],
)
def test_a_faulty_attribute_is_left_out_with_a_warning(
    tmp_path: Path, attributes: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    cube = read_cube(write(tmp_path / "a.h5", COUNTS, **attributes))
    np.testing.assert_array_equal(np.asarray(cube.values), COUNTS)
    assert message in caplog.text


@pytest.mark.parametrize(
    "attributes",
    [{"valid_range": [9, 1]}, {"valid_range": [1, 2, 3]}, {"valid_min": "low"}, {"valid_max": [1, 2]}],
)
def test_faulty_limits_are_left_out_and_said(tmp_path: Path, attributes: dict[str, Any]) -> None:
    cube = read_cube(write(tmp_path / "a.h5", COUNTS, **attributes))
    assert (cube.validity.least, cube.validity.most) == (None, None)
    assert f"`{next(iter(attributes))}`" in cube.doubts["no_data"]


@pytest.mark.parametrize("at", [(0,), (3,), (1,), (0, 4)])
def test_axes_of_length_1_beside_a_cubes_three_are_left_out(tmp_path: Path, at: tuple[int, ...]) -> None:
    cube, names = COUNTS.transpose(2, 0, 1), ["band", "y", "x"]
    for i in at:
        names.insert(i, f"time{i}")
    values = np.expand_dims(cube, at)
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["r"] = values
        for axis, name in zip(file["r"].dims, names, strict=True):
            axis.label = name
        file["wavelength"] = np.arange(400.0, 406.0)
        file["wavelength"].attrs["units"] = "nm"
    read = read_cube(tmp_path / "a.nc")
    np.testing.assert_array_equal(np.asarray(read.values), COUNTS)
    np.testing.assert_array_equal(read.values[2:5, 3, [1, 4]], COUNTS[2:5, 3, [1, 4]])
    assert read.wavelengths.tolist() == [400, 401, 402, 403, 404, 405]
    array = pytest.importorskip("xarray").DataArray(values, dims=names)
    np.testing.assert_array_equal(read_batch(array)["cube"][0].permute(1, 2, 0), COUNTS)
    np.savez(tmp_path / "a.npz", r=np.expand_dims(COUNTS, at))
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.npz", "r").values), COUNTS)


def test_an_array_of_three_axes_comes_before_one_with_a_single_axis_more(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", batch=COUNTS[None] + 1, cube=COUNTS)
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.npz").values), COUNTS)
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.npz", "batch").values), COUNTS + 1)


@pytest.mark.parametrize("shape", [(2, 12, 10, 6), (1, 1, 12, 10)])
def test_other_numbers_of_axes_are_no_cube(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.savez(tmp_path / "a.npz", r=np.zeros(shape))
    with pytest.raises(CubeFormatError, match=r"a cube \(3 axes\)"):
        read_cube(tmp_path / "a.npz")
