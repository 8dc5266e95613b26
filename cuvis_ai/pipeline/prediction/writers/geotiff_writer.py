"""Maps as GeoTIFF files."""

import warnings
from pathlib import Path

import numpy as np

from cuvis_ai.errors import import_extra
from cuvis_ai.pipeline.prediction.map_writer import Map, MapWriter, replacing

_BLOCK_BYTES = 8 << 20


def write(path: Path, layer: Map) -> None:
    """Write `<name>.tif`, tiled and compressed.

    Raises:
        MissingExtraError: rasterio is not installed.
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
    rows = max(1, _BLOCK_BYTES // max(1, w * k * layer.values.itemsize))
    with warnings.catch_warnings(), replacing(path) as (part,):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(part, "w", **profile) as file:
            for top in range(0, h, rows):
                block = np.asarray(layer.values[top : top + rows]).transpose(2, 0, 1)
                file.write(block, window=((top, top + block.shape[1]), (0, w)))
            file.update_tags(TIFFTAG_IMAGEDESCRIPTION=layer.description)
            for band, name in enumerate(layer.band_names, 1):
                file.set_band_description(band, name)


WRITER = MapWriter(name="geotiff", suffix=".tif", write=write)
