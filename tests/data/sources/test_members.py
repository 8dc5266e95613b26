"""What the arrays of a file say about one another, by the example of HDF5."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube

V = np.arange(60, dtype=np.uint16).reshape(4, 5, 3)


def test_the_nearest_wavelengths_count(tmp_path: Path) -> None:
    path = tmp_path / "cube.h5"
    with h5py.File(path, "w") as file:
        file["a/cube"] = V
        file["sensor/wavelengths"] = np.array([401.0, 501.0, 601.0])
        file["sensor/wavelengths"].attrs["units"] = "nm"
    np.testing.assert_array_equal(read_cube(path).wavelengths, [401, 501, 601])  # the only ones in the file
    with h5py.File(path, "a") as file:
        file["other/wavelengths"] = np.array([1.0, 2.0, 3.0])
    assert read_cube(path).wavelengths is None  # whose are they?
    with h5py.File(path, "a") as file:
        file["a/wavelengths"] = np.array([402.0, 502.0, 602.0])
        file["a/wavelengths"].attrs["units"] = "nm"
    np.testing.assert_array_equal(read_cube(path).wavelengths, [402, 502, 602])


def test_wavelengths_of_another_count_are_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        file["cube"] = V
        file["wavelengths"] = np.arange(7.0)
    assert read_cube(tmp_path / "cube.h5").wavelengths is None
    assert "expected wavelengths, one a band of (" in caplog.text
