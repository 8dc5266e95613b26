"""HDF5 and NetCDF 4 against h5py."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.masks import read_mask
from cuvis_ai.errors import CubeFormatError, MissingExtraError

V = np.arange(60, dtype=np.uint16).reshape(4, 5, 3)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_equals_h5py(tmp_path: Path, draw: st.DataObject) -> None:
    shape = draw.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
    dtype = draw.draw(
        hnp.integer_dtypes(endianness="?") | hnp.floating_dtypes(endianness="?", sizes=(32, 64))
    )
    values = draw.draw(hnp.arrays(dtype, shape))
    options = (
        {"chunks": tuple(min(2, n) for n in shape), "compression": "gzip"} if draw.draw(st.booleans()) else {}
    )
    path = tmp_path / "cube.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("group/cube", data=values, **options)
        file["group/mask"] = np.zeros(shape[:2])
    with h5py.File(path) as file:
        oracle = file["group/cube"][()]
    cube = read_cube(path)
    assert cube.dtype == oracle.dtype.newbyteorder("=")
    np.testing.assert_array_equal(np.asarray(cube.values), oracle)
    rows, columns, bands = (draw.draw(st.slices(n)) for n in shape)
    np.testing.assert_array_equal(cube.values[rows, columns, bands], oracle[rows, columns, bands])


def test_metadata_as_attributes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        file["cube"] = V
        file["cube"].attrs.update(
            {"wavelengths": [0.4, 0.5, 0.6], "wavelength_units": "um", "bbl": [1, 1, 0], "no_data": -1}
        )
    cube = read_cube(tmp_path / "cube.h5")
    np.testing.assert_allclose(cube.wavelengths, [400, 500, 600])
    assert cube.bad_bands.tolist() == [False, False, True]
    assert cube.no_data == -1.0


def write_netcdf(path: Path, values: np.ndarray, dimensions: tuple[str, ...]) -> None:
    """Write values as NetCDF 4 does: a scale for each dimension, attached to the axis."""
    with h5py.File(path, "w") as file:
        node = file.create_dataset("reflectance", data=values)
        for axis, (name, n) in enumerate(zip(dimensions, values.shape, strict=True)):
            file[name] = np.linspace(400, 600, n)
            file[name].make_scale(name)
            node.dims[axis].attach_scale(file[name])
        if "wavelength" in file:
            file["wavelength"].attrs["units"] = "nm"
        node.attrs["_FillValue"] = np.array([65535], dtype=np.uint16)
        node.attrs["scale_factor"] = 0.0001


def test_netcdf_dimensions_say_where_the_bands_are(tmp_path: Path) -> None:
    path = tmp_path / "cube.nc"
    for axes, names in (((0, 1, 2), "yxw"), ((2, 0, 1), "wyx"), ((0, 2, 1), "ywx")):
        write_netcdf(path, V.transpose(axes), tuple({"w": "wavelength"}.get(name, name) for name in names))
        cube = read_cube(path)
        assert cube.shape == V.shape
        np.testing.assert_array_equal(np.asarray(cube.values), V)  # not scaled
        np.testing.assert_array_equal(cube.values[1:3, ::2, [0, 2]], V[1:3, ::2][:, :, [0, 2]])
        np.testing.assert_array_equal(cube.wavelengths, [400, 500, 600])
        assert cube.no_data == 65535.0
        path.unlink()


def test_several_cubes_need_a_key(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "cubes.h5", "w") as file:
        file["raw/cube"] = V
        file["dark"] = V[:2]
    with pytest.raises(CubeFormatError, match=r"`raw/cube` \(4, 5, 3\).*Pass key="):
        read_cube(tmp_path / "cubes.h5")
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "cubes.h5", key="/raw/cube").values), V)


def test_classic_netcdf_says_how_to_convert(tmp_path: Path) -> None:
    (tmp_path / "cube.nc").write_bytes(b"CDF\1" + bytes(100))
    with pytest.raises(CubeFormatError, match=r"nccopy -k nc4 cube\.nc"):
        read_cube(tmp_path / "cube.nc")


def test_damaged_file_prints_its_size(tmp_path: Path) -> None:
    path = tmp_path / "cube.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(20))
    with pytest.raises(CubeFormatError, match=r"expected an HDF5 file \(28 bytes\)"):
        read_cube(path)


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        file["cube"] = V
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r'pip install "cubes-to-maps\[hdf5\]"'):
        read_cube(tmp_path / "cube.h5")


def test_hdf4_is_named(tmp_path: Path) -> None:
    for name in ("a.hdf", "a.h5"):
        (tmp_path / name).write_bytes(b"\x0e\x03\x13\x01" + bytes(100))
        with pytest.raises(CubeFormatError, match=r"got HDF4, an older format\. Convert it with `h4toh5"):
            read_cube(tmp_path / name)


@pytest.mark.parametrize("part", ["Vnir", "Swir"])
def test_prisma_says_wavelengths_flags_and_axes(tmp_path: Path, part: str) -> None:
    centres, flags = {"Vnir": ([600.0, 500.0, 0.0], [1, 1, 0]), "Swir": ([2000.0, 0.0, 1000.0], [1, 0, 1])}[
        part
    ]
    with h5py.File(tmp_path / "a.he5", "w") as file:
        group = file.create_group("HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields")
        for name in ("VNIR_Cube", "SWIR_Cube"):
            group[name] = V.transpose(0, 2, 1)
        file.attrs[f"List_Cw_{part}"] = centres
        file.attrs[f"List_Cw_{part}_Flags"] = flags
    cube = read_cube(tmp_path / "a.he5", key=f"HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields/{part.upper()}_Cube")
    np.testing.assert_array_equal(np.asarray(cube.values), V)
    np.testing.assert_array_equal(cube.wavelengths, centres)
    np.testing.assert_array_equal(~cube.bad_bands, np.array(flags) == 1)


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("spectral_band", "y", "x"), (2, 0, 1)),
        (("nbands", "lat", "lon"), (2, 0, 1)),
        (("x", "y", "z"), (1, 0, 2)),
    ],
)
def test_dimensions_of_other_names(tmp_path: Path, names: tuple[str, ...], order: tuple[int, ...]) -> None:
    write_netcdf(tmp_path / "a.nc", V.transpose(order), names)
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.nc").values), V)


def test_a_dimension_without_coordinates_holds_no_wavelengths(tmp_path: Path) -> None:
    write_netcdf(tmp_path / "a.nc", V.transpose(2, 0, 1), ("wavelength", "y", "x"))
    with h5py.File(tmp_path / "a.nc", "r+") as file:  # as the NetCDF library names such a scale
        name = f"This is a netCDF dimension but not a netCDF variable. {V.shape[2]:9d}"
        file["wavelength"].attrs["NAME"] = np.bytes_(name)
    cube = read_cube(tmp_path / "a.nc")
    np.testing.assert_array_equal(np.asarray(cube.values), V)
    assert cube.wavelengths is None


@pytest.mark.parametrize(("written", "order"), [("BSQ", (2, 0, 1)), ("bil", (0, 2, 1)), ("bip", (0, 1, 2))])
def test_an_interleave_says_the_axes(
    tmp_path: Path, written: str, order: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = V.transpose(order)
        file["cube"].attrs["Interleave"] = written
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.h5").values), V)
    assert not caplog.records


def test_the_bands_lie_along_the_wavelengths_whatever_the_names(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"], file["wavelength"] = V.transpose(2, 0, 1), [400.0, 500.0, 600.0]
        for axis, name in enumerate("abc"):  # of which c would be the bands
            file["cube"].dims[axis].label = name
        file["wavelength"].dims[0].label = "a"
        file["wavelength"].attrs["units"] = "nm"
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.h5").values), V)


def test_a_chosen_fill_value_is_no_data(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, fill in (("chosen", -9.0), ("zero", 0.0), ("unchosen", None)):
            cube = file.create_dataset(name, V.shape, "f4", chunks=(1, *V.shape[1:]), fillvalue=fill)
            cube[1:] = V[1:]
    for name, no_data in (("chosen", (-9.0,)), ("zero", ()), ("unchosen", ())):
        assert read_cube(tmp_path / "a.h5", key=name).validity.no_data == no_data


def test_an_image_of_columns_and_rows_lies_as_its_cube(tmp_path: Path) -> None:
    mask = V[:, :, 0] > 20
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["cube"], file["mask"] = V.transpose(1, 0, 2), mask.T.astype("u1")
        for node in (file["cube"], file["mask"]):
            node.dims[0].label, node.dims[1].label = "x", "y"
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.nc").values), V)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.nc", V.shape[:2], key="mask"), mask)
