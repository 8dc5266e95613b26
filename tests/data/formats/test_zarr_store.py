"""Zarr stores of both formats, as folders and zipped, against zarr."""

import base64
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_batch import read_batch
from cuvis_ai.errors import CubeFormatError

V = np.arange(60, dtype=np.int16).reshape(4, 5, 3)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_equals_zarr(tmp_path: Path, draw: st.DataObject) -> None:
    shape = draw.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
    dtype = draw.draw(
        hnp.integer_dtypes(endianness="?") | hnp.floating_dtypes(endianness="?", sizes=(32, 64))
    )
    values = draw.draw(hnp.arrays(dtype, shape))
    path = tmp_path / "cube.zarr"
    chunks = tuple(min(2, n) for n in shape)
    stored = zarr.create_array(
        path,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        zarr_format=draw.draw(st.sampled_from([2, 3])),
        overwrite=True,
    )
    stored[...] = values
    oracle = zarr.open_array(path, mode="r")[...]
    cube = read_cube(path)
    assert cube.dtype == oracle.dtype.newbyteorder("=")
    np.testing.assert_array_equal(np.asarray(cube.values), oracle)
    np.testing.assert_array_equal(oracle, values)
    rows, columns, bands = (draw.draw(st.slices(n)) for n in shape)
    np.testing.assert_array_equal(cube.values[rows, columns, bands], values[rows, columns, bands])


def test_group_with_wavelengths_and_named_axes(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "scene.zarr", mode="w")
    node = group.create_array(
        "measured/cube",
        data=V.transpose(2, 0, 1),
        dimension_names=("band", "y", "x"),
        attributes={"_FillValue": -1},
    )
    assert node.shape == (3, 4, 5)
    wavelengths = group.create_array("measured/wavelength", data=np.array([0.4, 0.5, 0.6]))
    wavelengths.attrs["units"] = "micrometer"
    cube = read_cube(tmp_path / "scene.zarr")
    np.testing.assert_array_equal(np.asarray(cube.values), V)
    np.testing.assert_allclose(cube.wavelengths, [400, 500, 600])
    assert cube.no_data == -1.0


def test_axes_named_as_xarray_does_in_format_2(tmp_path: Path) -> None:
    stored = zarr.create_array(tmp_path / "scene.zarr", data=V.transpose(0, 2, 1), zarr_format=2)
    stored.attrs["_ARRAY_DIMENSIONS"] = ["y", "wavelength", "x"]
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "scene.zarr").values), V)


def test_zipped_store(tmp_path: Path) -> None:
    path = tmp_path / "cube.zarr.zip"
    with zarr.storage.ZipStore(path, mode="w") as store:
        zarr.create_array(store, data=V)
    cube = read_cube(path)
    np.testing.assert_array_equal(np.asarray(cube.values), V)


def test_several_cubes_need_a_key(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "scene.zarr", mode="w")
    group.create_array("a", data=V)
    group.create_array("b", data=V[:2])
    with pytest.raises(CubeFormatError, match=r"`a` \(4, 5, 3\).*Pass key="):
        read_cube(tmp_path / "scene.zarr")
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "scene.zarr", key="b").values), V[:2])


def test_zip_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cube.zip").write_bytes(b"PK no zip")
    with pytest.raises(CubeFormatError, match="expected a zarr store"):
        read_cube(tmp_path / "cube.zip")


HOLE = np.zeros((4, 5), dtype=bool)
HOLE[:2, 3:] = True


def as_xarray_writes(
    path: Path, version: int, dtype: str, fill: float, attributes: dict[str, object]
) -> None:
    """What xarray's to_zarr writes with the encoding {"_FillValue": fill}."""
    group = zarr.open_group(path, mode="w", zarr_format=version)
    names = {"dimension_names": ("y", "x", "band")} if version == 3 else {}
    array = group.create_array("r", shape=V.shape, dtype=dtype, fill_value=fill, **names)
    array[:] = np.where(HOLE[..., None], fill, V + 1).astype(dtype)
    array.attrs.update(({"_ARRAY_DIMENSIONS": ["y", "x", "band"]} if version == 2 else {}) | attributes)


CODED = base64.standard_b64encode(struct.pack("<d", -9999)).decode()


@pytest.mark.parametrize(
    ("version", "dtype", "fill", "attributes"),
    [
        (2, "i2", -9999, {}),
        (2, "i2", 0, {}),
        (2, "f4", -9999, {}),
        (3, "f4", -9999, {"_FillValue": CODED}),
        (3, "f8", -9999, {"_FillValue": CODED}),
        (3, "i2", -9999, {"_FillValue": -9999}),
    ],
)
def test_fill_values_as_xarray_writes_them(
    tmp_path: Path, version: int, dtype: str, fill: float, attributes: dict[str, object]
) -> None:
    as_xarray_writes(tmp_path / "a.zarr", version, dtype, fill, attributes)
    np.testing.assert_array_equal(~read_batch(tmp_path / "a.zarr")["valid"][0].numpy(), HOLE)


@pytest.mark.parametrize("version", [2, 3])
def test_zarrs_own_fill_value_is_a_measurement(tmp_path: Path, version: int) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=V.shape, dtype="i2", zarr_format=version)
    array[:] = np.where(HOLE[..., None], 0, V + 1)
    assert "valid" not in read_batch(tmp_path / "a.zarr")


@pytest.mark.parametrize("axes", ["cyx", "yxc", "ycx", "zyx"])
@pytest.mark.parametrize("version", [2, 3])
def test_ome_names_the_axes(tmp_path: Path, axes: str, version: int) -> None:
    order = [{"y": 0, "x": 1}.get(name, 2) for name in axes]
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    group.create_array("image/0", data=np.ascontiguousarray(V.transpose(order)))
    images = [{"axes": [{"name": name} for name in axes], "datasets": [{"path": "0"}]}]
    group["image"].attrs.update({"multiscales": images} if version == 2 else {"ome": {"multiscales": images}})
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.zarr").values), V)


STORE = {
    "zarr_format": 2,
    "shape": [4, 4, 3],
    "chunks": [4, 4, 3],
    "dtype": "<f4",
    "fill_value": 0,
    "order": "C",
}


@pytest.mark.parametrize(
    "changes",
    [
        {"chunks": [0, 4, 3]},
        {"compressor": {"id": "unheard of"}},
        {"fill_value": "x"},
        {"compressor": {"id": "zlib"}},
        {},
    ],
)
def test_a_damaged_store_is_named(tmp_path: Path, changes: dict[str, object]) -> None:
    store = tmp_path / "a.zarr"
    store.mkdir()
    record = STORE | {"filters": None, "compressor": None} | changes
    (store / ".zarray").write_text(json.dumps(record))
    (store / "0.0.0").write_bytes(b"no chunk of that size")
    with pytest.raises(CubeFormatError, match=r"a\.zarr"):
        np.asarray(read_cube(store).values)


@pytest.mark.parametrize(
    "attributes",
    [
        {"multiscales": 5},
        {"multiscales": [{"axes": 3, "datasets": 4}]},
        {"ome": "x"},
        {"multiscales": [{"axes": [{}]}]},
    ],
)
def test_a_faulty_ome_description_is_left_out(
    tmp_path: Path, attributes: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=V)
    group.attrs.update(attributes)
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.zarr").values), V)
    assert "left out as faulty" in caplog.text


def test_a_fill_value_that_is_no_number_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", data=V.astype("f4"))
    array.attrs["_FillValue"] = "none"
    assert read_cube(tmp_path / "a.zarr").no_data is None
    assert "expected a number for `_fillvalue`, got 'none'" in caplog.text


@pytest.mark.parametrize("name", ["", "/zarr.json", "cube//c/0"])
def test_a_zipped_group_within_itself_is_refused(tmp_path: Path, name: str) -> None:
    """zarr would walk it down to Python's recursion limit, for seconds."""
    zarr.open_group(tmp_path / "a.zarr", mode="w").create_array("cube", data=np.zeros((4, 5, 3)))
    with zipfile.ZipFile(tmp_path / "b.zarr", "w") as archive:
        for file in (tmp_path / "a.zarr").rglob("*"):
            archive.write(file, file.relative_to(tmp_path / "a.zarr"))
    assert read_cube(tmp_path / "b.zarr").shape == (4, 5, 3)
    with zipfile.ZipFile(tmp_path / "b.zarr", "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), "")
    with pytest.raises(CubeFormatError, match=r"b\.zarr: expected members with names"):
        read_cube(tmp_path / "b.zarr")
