"""What is a cube in memory, and what is not."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.memory_cube import is_memory_cube, memory_cube
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.errors import ConfigError

CUBE = np.arange(24.0).reshape(2, 3, 4)


def test_axes_and_wavelengths_are_those_of_the_options() -> None:
    reading = ReadingOptions(axes="chw", wavelengths=[400.0, 500.0])
    cube = memory_cube(CUBE, reading, Path("day_1"))
    np.testing.assert_array_equal(cube.values[...], CUBE.transpose(1, 2, 0))
    assert cube.wavelengths is not None
    assert cube.wavelengths.tolist() == [400, 500]
    assert cube.path == Path("day_1")
    assert memory_cube(cube, ReadingOptions()) is cube
    with pytest.raises(ConfigError, match="no `axes` beside an opened cube"):
        memory_cube(cube, reading)


def test_other_things_are_refused() -> None:
    assert is_memory_cube(CUBE)
    assert not is_memory_cube("scene.hdr")
    with pytest.raises(ConfigError, match="an xarray DataArray, got list"):
        memory_cube([1], ReadingOptions())
