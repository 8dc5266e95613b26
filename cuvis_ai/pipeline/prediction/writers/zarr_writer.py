"""Maps as zarr stores, with what they say as attributes."""

import shutil
from pathlib import Path

from cuvis_ai.errors import import_extra
from cuvis_ai.pipeline.prediction.map_writer import Map, MapWriter, replacing

_CHUNK_ROWS = 256


def write(path: Path, layer: Map) -> None:
    """Write the store `<name>.zarr` with the array `scores`, or whatever its first band is called.

    Raises:
        MissingExtraError: zarr is not installed.
    """
    zarr = import_extra("zarr", "zarr", f"writing {path}")
    h, w, k = layer.values.shape
    with replacing(path) as (part,):
        store = zarr.open_group(part, mode="w")
        array = store.create_array(
            "map", shape=(h, w, k), chunks=(min(h, _CHUNK_ROWS), w, k), dtype=layer.values.dtype.name
        )
        for top in range(0, h, _CHUNK_ROWS):
            array[top : top + _CHUNK_ROWS] = layer.values[top : top + _CHUNK_ROWS]
        array.attrs["band_names"] = list(layer.band_names)
        array.attrs["description"] = layer.description
        if layer.georeference is not None:
            array.attrs["transform"] = list(layer.georeference.transform)
            array.attrs["crs"] = layer.georeference.crs
        if path.exists():
            shutil.rmtree(path)


WRITER = MapWriter(name="zarr", suffix=".zarr", write=write)
