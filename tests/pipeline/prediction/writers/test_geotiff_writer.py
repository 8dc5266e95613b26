"""GeoTIFF maps are read by GDAL where and as they were meant."""

from pathlib import Path

import pytest

from cuvis_ai.pipeline.prediction.writers import WRITERS
from tests.pipeline.prediction.writers.maps import a_map, check_by_gdal, check_replaces


@pytest.mark.parametrize("dtype", ["f4", "u1"])
def test_gdal_reads_what_was_written(tmp_path: Path, dtype: str) -> None:
    WRITERS["geotiff"].write(tmp_path / f"map{WRITERS['geotiff'].suffix}", a_map(dtype))
    check_by_gdal(tmp_path / "map.tif", a_map(dtype))


def test_an_older_map_is_replaced(tmp_path: Path) -> None:
    check_replaces(tmp_path, "geotiff")
