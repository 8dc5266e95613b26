"""Cubes that are in memory: NumPy arrays, xarray DataArrays, and cubes that were opened before."""

from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.array_contents import (
    array_contents,
    data_array_contents,
    is_data_array,
    name_of_data_array,
)
from cuvis_ai.data.cube import Cube, cube_of
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.errors import ConfigError


def is_memory_cube(value: object) -> bool:
    """Return whether a value is a cube in memory."""
    return isinstance(value, Cube | np.ndarray) or is_data_array(value)


def memory_cube(source: Any, reading: ReadingOptions, name: Path | None = None) -> Cube:
    """Return a cube in memory as one that was read; its doubts are unlogged.

    Args:
        source: a NumPy array (h, w, c), an xarray DataArray or an opened `Cube`.
        reading: how its axes and wavelengths are meant.
        name: what messages call it; None: as it is called.

    Raises:
        CubeFormatError: it does not have three axes.
        ConfigError: it is none of these, or an opened cube is to have other axes.
    """
    if isinstance(source, Cube):
        if reading.axes is not None:
            raise ConfigError(
                f"{source.path}: expected no `axes` beside an opened cube, got {reading.axes!r}. Pass them "
                "to `read_cube`."
            )
        return source
    if isinstance(source, np.ndarray):
        contents, called = array_contents(source), "array"
    elif is_data_array(source):
        contents, called = data_array_contents(source), name_of_data_array(source)
    else:
        raise ConfigError(
            "expected a path, a Cube, a NumPy array (h, w, c) or an xarray DataArray, got "
            f"{type(source).__name__}."
        )
    return cube_of(contents, name or Path(called), axes=reading.axes, wavelengths=reading.wavelengths)
