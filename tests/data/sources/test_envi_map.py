"""Map positions are those that GDAL reads from the same file, and writes for the same grid."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.formats import envi
from cuvis_ai.data.sources.envi_map import georeference_of, map_fields
from cuvis_ai.data.sources.georeference import Georeference, Transform

rasterio = pytest.importorskip("rasterio")
Affine = rasterio.Affine

NORTH_UP = Affine(2, 0, 5e5, 0, -2, 4.6e6)
GRIDS = {
    "utm north": (NORTH_UP, "EPSG:32633"),
    "utm south, rotated": (NORTH_UP @ Affine.rotation(30), "EPSG:32733"),
    "degrees": (Affine(0.01, 0, 10, 0, -0.02, 50), "EPSG:4326"),
    "equal area": (Affine(20, 0, 4e6, 0, -20, 3e6), "EPSG:3035"),
    "rows go north": (Affine(2, 0, 5e5, 0, 2, 4.6e6), "EPSG:32633"),
    "no system": (Affine(20, 0, 4e6, 0, -20, 3e6), None),
}
VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("ending", [".img", ".tif"])
@pytest.mark.parametrize("grid", GRIDS)
def test_grids_are_read_and_written_as_gdal_does(tmp_path: Path, grid: str, ending: str) -> None:
    transform, crs = GRIDS[grid]
    path = tmp_path / f"scene{ending}"
    profile = {"driver": "ENVI" if ending == ".img" else "GTiff", "height": 2, "width": 3, "count": 4}
    with rasterio.open(path, "w", dtype="float32", transform=transform, crs=crs, **profile) as file:
        file.write(VALUES.transpose(2, 0, 1))

    found = read_cube(path).georeference

    assert found is not None
    assert found.transform == pytest.approx(tuple(transform)[:6])
    assert found.position(1, 2) == pytest.approx(transform @ (2.5, 1.5))
    copy = tmp_path / "copy.hdr"
    envi.write(copy, VALUES, description="map", georeference=found)
    with rasterio.open(copy.with_suffix(".img")) as file:
        assert tuple(file.transform) == pytest.approx(tuple(transform))
        if crs is not None:
            assert file.crs == rasterio.CRS.from_user_input(crs)
        else:  # GDAL reads a grid of its own, neither on the earth's surface nor in a projection
            assert not file.crs.is_projected
            assert not file.crs.is_geographic


@pytest.mark.parametrize("rotation", [-12.5, 0, 30, 90, 180, 200])
def test_rotated_pixels_that_are_not_square_are_read_and_written_as_gdal_does(
    tmp_path: Path, rotation: float
) -> None:
    envi.write(tmp_path / "scene.hdr", VALUES, description="scene")
    line = f"map info = {{UTM, 1, 1, 500000, 4600000, 2, 3, 33, North, WGS-84, rotation={rotation}}}\n"
    with (tmp_path / "scene.hdr").open("a") as file:
        file.write(line)
    found = read_cube(tmp_path / "scene.hdr").georeference
    assert found is not None
    envi.write(tmp_path / "copy.hdr", VALUES, description="map", georeference=found)
    for name in ("scene", "copy"):
        with rasterio.open(tmp_path / f"{name}.img") as file:
            assert tuple(file.transform)[:6] == pytest.approx(found.transform)


@pytest.mark.parametrize(
    ("line", "crs"),
    [
        ("UTM, 1, 1, 500000, 4600000, 2, 2, 33, North, WGS-84, units=Meters", "EPSG:32633"),
        ("UTM, 1, 1, 500000, 4600000, 2, 2, 33, North, WGS-84", "EPSG:32633"),
        ("UTM, 1, 1, 1640000, 15000000, 6, 6, 33, North, WGS-84, units=Feet", None),
        ("Geographic Lat/Lon, 1, 1, 8, 49, 0.1, 0.1, WGS-84, units=Degrees", "EPSG:4326"),
        ("Geographic Lat/Lon, 1, 1, 8, 49, 0.1, 0.1, WGS-84, units=Radians", None),
    ],
)
def test_a_system_is_known_in_its_own_unit_alone(line: str, crs: str | None) -> None:
    found, _ = georeference_of({"map info": line})
    assert found is not None
    assert found.crs == crs


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:32733", "EPSG:4326"])
def test_a_code_of_a_system_becomes_names_that_gdal_knows(tmp_path: Path, crs: str) -> None:
    grid = Georeference(transform=(0.5, 0.0, 10.0, 0.0, -0.5, 50.0), crs=crs)
    envi.write(tmp_path / "map.hdr", VALUES, description="map", georeference=grid)
    with rasterio.open(tmp_path / "map.img") as file:
        assert file.crs.to_string() == crs
    assert read_cube(tmp_path / "map.hdr").georeference == grid


def test_the_reference_pixel_may_be_any() -> None:
    fields = {"map info": "UTM, 3, 2, 1000, 2000, 10, 5, 33, North, WGS-84, units=Meters"}
    found, fault = georeference_of(fields)
    assert fault is None
    # The upper left corner of column 2 and row 1, counted from 0, lies at (1000, 2000).
    assert found == Georeference(transform=(10.0, 0.0, 980.0, 0.0, -5.0, 2005.0), crs="EPSG:32633")


@pytest.mark.parametrize(
    "line",
    [
        "UTM, 1, 1, 10, 10, 0, 2",
        "UTM, 1, 1, 10, 10, 2, nan",
        "UTM, 1, 1, 10, x, 2, 2",
        "UTM, 1, 1, 2",
        "",
        "UTM, 1, 1, 10, 10, 2, 2, rotation=east",
    ],
)
def test_a_faulty_line_is_left_out_with_a_reason(line: str) -> None:
    found, fault = georeference_of({"map info": line})
    assert found is None
    assert fault is not None
    assert "map info" in fault


def test_a_header_without_the_line_says_nothing() -> None:
    assert georeference_of({"samples": "3"}) == (None, None)


def test_a_datum_that_is_not_known_gives_no_system() -> None:
    found, _ = georeference_of({"map info": "UTM, 1, 1, 0, 0, 1, 1, 33, North, North America 1983"})
    assert found is not None
    assert found.crs is None


@pytest.mark.parametrize(
    "transform",
    [(1.0, 0.5, 0.0, 0.0, -1.0, 0.0), (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)],
)
def test_a_grid_that_a_header_cannot_say_is_not_written(
    transform: Transform, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    grid = Georeference(transform=transform)
    assert map_fields(grid) == {}
    envi.write(tmp_path / "map.hdr", VALUES, description="map of a", georeference=grid)
    assert "map of a: written without its place" in caplog.text
