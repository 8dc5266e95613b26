"""Maps as ENVI files: a header and a binary file, which QGIS, ENVI and this project read."""

from pathlib import Path

from cuvis_ai.data.formats import envi
from cuvis_ai.pipeline.prediction.map_writer import Map, MapWriter, replacing


def write(path: Path, layer: Map) -> None:
    """Write `<name>.hdr` and `<name>.img`, the header last."""
    with replacing(path.with_suffix(".img"), path) as (_, header):
        envi.write(
            header,
            layer.values,
            description=layer.description,
            band_names=layer.band_names,
            no_data=layer.no_data,
            georeference=layer.georeference,
        )


WRITER = MapWriter(name="envi", suffix=".hdr", write=write)
