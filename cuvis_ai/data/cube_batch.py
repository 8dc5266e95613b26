"""`read_batch`: one file as the batch that the data modules would make of it."""

from pathlib import Path
from typing import Unpack

import numpy as np

from cuvis_ai.data.band_selection import BandSelection
from cuvis_ai.data.cube import Cube, log_doubts, open_cube
from cuvis_ai.data.folders import cube_name
from cuvis_ai.data.loading.collate import Sample, collate_cubes
from cuvis_ai.data.loading.pixels import Window, read_window
from cuvis_ai.data.options import ReadingOptions, SceneArguments, refuse
from cuvis_ai.types import Batch


def read_batch(path: str | Path, key: str | None = None, **options: Unpack[SceneArguments]) -> Batch:
    """Return a whole file as a batch of one: `cube` (1, c, h, w), `valid`, `wavelengths`, `name`.

    Bad bands are dropped, and pixels without data are not `valid`, as in the data modules.

    Args:
        path: the file, in any format that `read_cube` knows; it must fit into memory.
        key: the cube's array in a file of several.
        options: `axes`, `wavelengths`, `bad_bands`, `no_data` and `saturation` of `ReadingOptions`.

    Raises:
        DatasetNotFoundError: there is no such file.
        CubeFormatError: it cannot be read as a cube.
        ConfigError: an option that is impossible, or does not fit the cube.

    Example:
        >>> batch = read_batch("scene.hdr", no_data=0)  # doctest: +SKIP
        >>> scores = graph(batch).output  # doctest: +SKIP
    """
    reading = ReadingOptions(**options)
    refuse("read_batch", reading.problems())
    cube = open_cube(path, key, axes=reading.axes, wavelengths=reading.wavelengths)
    log_doubts(cube, reading.overruling())
    return cube_batch(cube, reading)


def cube_batch(cube: Cube, reading: ReadingOptions) -> Batch:
    """Return an opened cube as a batch of one, as `read_batch` does."""
    bands = BandSelection.of(cube, reading)
    pixels, valid = read_window(cube, Window(0, 0, *cube.shape[:2]), bands, reading)
    sample: Sample = {"cube": pixels, "name": cube_name(cube.path)}
    if valid is not None:
        sample["valid"] = valid
    if bands.wavelengths is not None:
        sample["wavelengths"] = bands.wavelengths.astype(np.float32)
    return collate_cubes([sample])
