"""A map, and what every writer is held to."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.sources.georeference import Georeference
from cuvis_ai.pipeline.prediction.map_writer import Map
from cuvis_ai.pipeline.prediction.writers import WRITERS

GRID = Georeference(transform=(2.0, 0.5, 100.0, 0.5, -2.0, 50.0), crs="EPSG:32633")


def a_map(dtype: str = "f4", georeference: Georeference | None = GRID) -> Map:
    values = np.arange(24).reshape(3, 4, 2).astype(dtype)
    if dtype == "f4":
        values[0, 0] = np.nan
    return Map(
        values=values,
        band_names=("one", "two"),
        no_data=float("nan") if dtype == "f4" else 255,
        georeference=georeference,
        description="by g 1",
    )


def check_replaces(folder: Path, name: str) -> Path:
    """Write a map over an older one; nothing else is left in the folder. Return its path."""
    path = folder / f"map{WRITERS[name].suffix}"
    WRITERS[name].write(path, a_map("u1", None))
    files = sorted(folder.iterdir())
    WRITERS[name].write(path, a_map("f4", None))
    assert sorted(folder.iterdir()) == files
    return path


def check_by_gdal(opened: Path, layer: Map) -> None:
    """Check that GDAL reads values, grid, names and the no-data value as they were meant."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(opened) as file:
        np.testing.assert_array_equal(file.read().transpose(1, 2, 0), layer.values)
        assert tuple(file.transform)[:6] == pytest.approx(GRID.transform)
        assert file.crs.to_epsg() == 32633
        assert [text.split(" (")[0] for text in file.descriptions] == ["one", "two"]
        assert file.nodata == pytest.approx(layer.no_data, nan_ok=True)
