from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.opened_cube import is_cube_source, opened
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.errors import ConfigError

VALUES = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)


def test_files_cubes_and_arrays_are_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", VALUES)
    for source in (
        tmp_path / "cube.npy",
        str(tmp_path / "cube.npy"),
        read_cube(tmp_path / "cube.npy"),
        VALUES,
    ):
        assert is_cube_source(source)
        np.testing.assert_array_equal(opened(source, ReadingOptions()).values[:], VALUES)


def test_what_is_none_is_refused(tmp_path: Path) -> None:
    assert not is_cube_source(3)
    with pytest.raises(ConfigError, match="expected a path, a Cube"):
        opened(3, ReadingOptions())
    np.save(tmp_path / "cube.npy", VALUES)
    with pytest.raises(ConfigError, match="no `axes` beside an opened cube"):
        opened(read_cube(tmp_path / "cube.npy"), ReadingOptions(axes="chw"))
