"""Maps as .npy files, (h, w, k), without a georeference."""

from pathlib import Path

import numpy as np

from cuvis_ai.pipeline.prediction.map_writer import Map, MapWriter, replacing


def write(path: Path, layer: Map) -> None:
    """Write `<name>.npy`."""
    with replacing(path) as (part,), part.open("wb") as file:
        values = np.ascontiguousarray(layer.values)
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(values))
        file.write(values.reshape(-1).view(np.uint8).data)  # `tofile` hides that a disk is full


WRITER = MapWriter(name="npy", suffix=".npy", write=write)
