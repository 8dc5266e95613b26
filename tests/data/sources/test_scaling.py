"""Scale factors as files declare them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_batch import read_batch
from cuvis_ai.errors import CubeFormatError
from tests.data.files import Files, write_envi

COUNTS = np.random.default_rng(0).integers(1, 4000, (3, 4, 5)).astype("i2")
GAINS = [0.5, 0.25, 2.0, 4.0, 1.0]


def envi(path: Path, **fields: str) -> Path:
    write_envi(path.with_suffix(".hdr"), COUNTS, **fields)
    return path.with_suffix(".hdr")


def netcdf(path: Path, **attributes: Any) -> Path:
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file["r"] = COUNTS
        file["r"].attrs.update(attributes)
    return path.with_suffix(".h5")


def geotiff(path: Path) -> Path:
    profile = {
        "driver": "GTiff",
        "height": 3,
        "width": 4,
        "count": 5,
        "dtype": "int16",
        "transform": rasterio.Affine(2, 0, 0, 0, -2, 0),
    }
    with rasterio.open(path.with_suffix(".tif"), "w", **profile) as file:
        file.write(COUNTS.transpose(2, 0, 1))
        file.scales = GAINS
        file.offsets = [1.0] * 5
    return path.with_suffix(".tif")


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda path: envi(path, reflectance_scale_factor="10000"), COUNTS / 10000),
        (lambda path: envi(path, data_gain_values="{0.5,0.25,2,4,1}", data_offset_values="{3,3,3,3,3}"), COUNTS * np.array(GAINS) + 3),
        (lambda path: netcdf(path, scale_factor=0.0001, add_offset=-0.1), COUNTS * 0.0001 - 0.1),
        (lambda path: netcdf(path, Scale_Factor=10000.0), COUNTS / 10000),
        (lambda path: netcdf(path, scale_factor=GAINS, add_offset=[1.0] * 5), COUNTS * np.array(GAINS) + 1),
        (geotiff, COUNTS * np.array(GAINS) + 1),
    ],
    ids=["reflectance", "gains", "CF", "NEON", "by band", "GeoTIFF"],
)  # fmt: skip
def test_declared_scale_factors_are_applied_when_asked(tmp_path: Path, write: Any, expected: Any) -> None:
    path = write(tmp_path / "a")
    np.testing.assert_array_equal(read_batch(path)["cube"][0].permute(1, 2, 0), COUNTS)
    scaled = read_batch(path, scaled=True, bad_bands=[1, 3])["cube"][0].permute(1, 2, 0)
    np.testing.assert_allclose(scaled, expected[:, :, [0, 2, 4]], rtol=1e-6)


def test_no_data_is_a_stored_number(tmp_path: Path) -> None:
    path = envi(tmp_path / "a", reflectance_scale_factor="10000", data_ignore_value=str(COUNTS[0, 0, 0]))
    np.testing.assert_array_equal(
        read_batch(path, scaled=True)["valid"][0], (COUNTS[0, 0, 0] != COUNTS).all(2)
    )


@pytest.mark.parametrize(
    ("write", "fields"),
    [
        *((envi, {"reflectance_scale_factor": value}) for value in ("{1,2}", "0", "nan", "x")),
        (envi, {"data_offset_values": "{a}"}),
        *((netcdf, {"scale_factor": value}) for value in ("x", np.nan, 0.0, [1.0, 2.0])),
        (netcdf, {"add_offset": "x"}),
        (netcdf, {"Scale_Factor": 0.0}),
    ],
)  # fmt: skip
def test_faulty_scale_factors_are_left_out_and_said(
    tmp_path: Path, write: Any, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a", **fields)
    np.testing.assert_array_equal(read_batch(path, scaled=True)["cube"][0].permute(1, 2, 0), COUNTS)
    (said,) = (record.message for record in caplog.records if "left out" in record.message)
    assert "expected" in said
    assert "left out, numbers stay as they are stored" in said


def test_cubes_of_another_scale_are_refused_or_scaled(tmp_path: Path) -> None:
    envi(tmp_path / "a", reflectance_scale_factor="10000")
    envi(tmp_path / "b", reflectance_scale_factor="100")
    with pytest.raises(
        CubeFormatError, match=r"b.hdr.*of the scale of .*a.hdr, gain 0.0001 .*got gain 0.01 .*scaled=True"
    ):
        list(Files(tmp_path, (2, 0, 0)).statistics_dataloader())
    (batch,) = Files(tmp_path, (2, 0, 0), scaled=True).statistics_dataloader()
    np.testing.assert_allclose(batch["cube"][1], batch["cube"][0] * 100, rtol=1e-6)


def test_cubes_of_another_unit_are_refused(tmp_path: Path) -> None:
    for name, unit in (("a", "W m-2"), ("b", "1")):
        netcdf(tmp_path / name, units=unit).rename(tmp_path / f"{name}.npy")
    modules = [Files(tmp_path, (2, 0, 0), scaled=scaled) for scaled in (False, True)]
    for module in modules:
        with pytest.raises(CubeFormatError, match="in W m-2, got .* in 1. Convert one of them"):
            list(module.statistics_dataloader())


def test_what_a_file_says_is_in_the_cube(tmp_path: Path) -> None:
    scaling = read_cube(netcdf(tmp_path / "a", scale_factor=0.5, units="counts")).scaling
    assert str(scaling) == "gain 0.5 and offset 0 in counts"
