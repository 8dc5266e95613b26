"""Windows of a scene as batches for a graph."""

from cuvis_ai.data.cube_batch import pixels_batch
from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.pipeline.scene_reader import SceneReader
from cuvis_ai.types import Batch


def scene_batch(reader: SceneReader, window: Window, *, as_stored: bool = False) -> Batch:
    """Return a window as a batch of one on the CPU; it may have no valid pixel.

    With `as_stored` its cube lies in memory as in the file, else channels-last.

    Raises:
        CubeFormatError: it cannot be read.
    """
    batch = pixels_batch(reader.cube, reader.bands, *reader.pixels(window, as_stored=as_stored))
    if reader.order is not None:
        order = list(reader.order)
        batch["cube"] = batch["cube"][:, order]
        batch["wavelengths"] = batch["wavelengths"][order]  # without them, nothing is matched
    return batch
