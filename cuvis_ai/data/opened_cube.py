"""The cube of whatever holds one: a file, an opened cube, an array. It needs no torch."""

import os
from typing import Any

from cuvis_ai.data.cube import Cube, log_doubts, open_cube
from cuvis_ai.data.memory_cube import is_memory_cube, memory_cube
from cuvis_ai.data.options import ReadingOptions


def is_cube_source(value: object) -> bool:
    """Return whether a value is what `read_batch` takes."""
    return isinstance(value, str | os.PathLike) or is_memory_cube(value)


def opened(source: Any, reading: ReadingOptions, key: str | None = None) -> Cube:
    """Return the cube of a file or in memory, what is assumed about it logged.

    Raises:
        DatasetNotFoundError: there is no such file.
        CubeFormatError: it cannot be read as a cube.
        ConfigError: `source` is nothing of the kind, or an opened cube is to have other axes.
    """
    if isinstance(source, str | os.PathLike):
        cube = open_cube(source, key, axes=reading.axes, wavelengths=reading.wavelengths)
    else:
        cube = memory_cube(source, reading)
    if not isinstance(source, Cube):
        log_doubts(cube, reading.overruling())
    return cube
