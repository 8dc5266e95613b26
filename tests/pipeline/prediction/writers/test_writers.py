"""Maps are read by GDAL, NumPy and zarr where and as they were meant."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.sources.georeference import Georeference
from cuvis_ai.pipeline.prediction.map_writer import Map
from cuvis_ai.pipeline.prediction.writers import WRITERS

GRID = Georeference(transform=(2.0, 0.5, 100.0, 0.5, -2.0, 50.0), crs="EPSG:32633")


def a_map(dtype: str = "f4", georeference: Georeference | None = GRID) -> Map:
    values = np.arange(24).reshape(3, 4, 2).astype(dtype)
    no_data = float("nan") if dtype == "f4" else 255
    if dtype == "f4":
        values[0, 0] = np.nan
    return Map(
        values=values,
        band_names=("one", "two"),
        no_data=no_data,
        georeference=georeference,
        description="by g 1",
    )


@pytest.mark.parametrize("dtype", ["f4", "u1"])
@pytest.mark.parametrize("name", ["envi", "geotiff"])
def test_gdal_reads_values_grid_names_and_no_data(tmp_path: Path, name: str, dtype: str) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / f"map{WRITERS[name].suffix}"
    layer = a_map(dtype)
    WRITERS[name].write(path, layer)
    with rasterio.open(path.with_suffix(".img") if name == "envi" else path) as file:
        np.testing.assert_array_equal(file.read().transpose(1, 2, 0), layer.values)
        assert tuple(file.transform)[:6] == pytest.approx(GRID.transform)
        assert file.crs.to_epsg() == 32633
        assert [text.split(" (")[0] for text in file.descriptions] == ["one", "two"]
        assert file.nodata == pytest.approx(layer.no_data, nan_ok=True)


@pytest.mark.parametrize("name", WRITERS)
def test_a_map_replaces_an_older_one_and_leaves_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"map{WRITERS[name].suffix}"
    WRITERS[name].write(path, a_map("u1", None))
    files = sorted(tmp_path.iterdir())
    WRITERS[name].write(path, a_map("f4", None))
    assert sorted(tmp_path.iterdir()) == files
    if name == "npy":
        np.testing.assert_array_equal(np.load(path), a_map().values)
    if name == "zarr":
        zarr = pytest.importorskip("zarr")
        array = zarr.open_group(path, mode="r")["map"]
        np.testing.assert_array_equal(array[...], a_map().values)
        assert array.attrs["band_names"] == ["one", "two"]


def test_a_failed_write_leaves_the_old_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "map.npy"
    WRITERS["npy"].write(path, a_map())

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="No space"):
        WRITERS["npy"].write(path, a_map("u1"))
    assert [one.name for one in tmp_path.iterdir()] == ["map.npy"]
    np.testing.assert_array_equal(np.load(path), a_map().values)
