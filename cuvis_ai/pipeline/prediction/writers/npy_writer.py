"""Maps as .npy files, (h, w, k), without a georeference."""

from pathlib import Path

import numpy as np

from cuvis_ai.pipeline.prediction.map_writer import Map, MapWriter, replacing


def write(path: Path, layer: Map) -> None:
    """Write `<name>.npy`."""
    with replacing(path) as (part,), part.open("wb") as file:
        np.lib.format.write_array(file, layer.values, allow_pickle=False)


WRITER = MapWriter(name="npy", suffix=".npy", write=write)
