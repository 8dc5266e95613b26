"""The formats in which maps are written, one a file, found by walking this package."""

import importlib
import pkgutil

from cuvis_ai.pipeline.prediction.map_writer import MapWriter

WRITERS: dict[str, MapWriter] = {
    writer.name: writer
    for writer in (
        importlib.import_module(f"{__name__}.{module.name}").WRITER
        for module in pkgutil.iter_modules(__path__)
    )
}
"""By name."""
