"""zarr reads what was written, with its grid and names as attributes."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.pipeline.prediction.writers import WRITERS
from tests.pipeline.prediction.writers.maps import GRID, a_map, check_replaces

zarr = pytest.importorskip("zarr")


def test_zarr_reads_what_was_written(tmp_path: Path) -> None:
    array = zarr.open_group(check_replaces(tmp_path, "zarr"), mode="r")["map"]
    np.testing.assert_array_equal(array[...], a_map().values)
    assert array.attrs["band_names"] == ["one", "two"]


def test_the_grid_is_an_attribute(tmp_path: Path) -> None:
    WRITERS["zarr"].write(tmp_path / "map.zarr", a_map())
    attributes = zarr.open_group(tmp_path / "map.zarr", mode="r")["map"].attrs
    assert tuple(attributes["transform"]) == GRID.transform
    assert attributes["crs"] == GRID.crs
