"""Maps as GeoTIFF files."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.errors import import_extra
from cuvis_ai.pipeline.prediction.map_writer import Map, MapWriter, replacing

_BLOCK_BYTES = 8 << 20


def write(path: Path, layer: Map) -> None:
    """Write `<name>.tif`, tiled and compressed.

    Raises:
        MissingExtraError: rasterio is not installed.
        OSError: the disk is full.
    """
    rasterio = import_extra("rasterio", "geo", f"writing {path}")
    h, w, k = layer.values.shape
    grid = layer.georeference
    profile = {
        "driver": "GTiff", "height": h, "width": w, "count": k, "dtype": layer.values.dtype.name,
        "nodata": layer.no_data, "compress": "deflate", "bigtiff": "if_safer",
    }  # fmt: skip
    if grid is not None:
        profile |= {"transform": rasterio.Affine(*grid.transform), "crs": grid.crs}
    with warnings.catch_warnings(), replacing(path) as (part,):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(part, "w", **profile) as file:
            for window, block in _blocks(layer):
                file.write(block, window=window)
            file.update_tags(TIFFTAG_IMAGEDESCRIPTION=layer.description)
            for band, name in enumerate(layer.band_names, 1):
                file.set_band_description(band, name)
        # GDAL writes the last blocks when it closes the file, and then hides that the disk is full.
        with rasterio.open(part) as file:
            for window, block in _blocks(layer):
                if not np.array_equal(file.read(window=window), block, equal_nan=block.dtype.kind == "f"):
                    raise OSError(
                        f"{path}: expected to read what was written, got other values: a full disk?"
                    )


def _blocks(layer: Map) -> Iterator[tuple[tuple[tuple[int, int], tuple[int, int]], NDArray[Any]]]:
    """Yield rows of a map, some at a time: where they are, and their values (k, h, w)."""
    h, w, k = layer.values.shape
    rows = max(1, _BLOCK_BYTES // max(1, w * k * layer.values.itemsize))
    for top in range(0, h, rows):
        block = np.asarray(layer.values[top : top + rows]).transpose(2, 0, 1)
        yield ((top, top + block.shape[1]), (0, w)), block


WRITER = MapWriter(name="geotiff", suffix=".tif", write=write)
