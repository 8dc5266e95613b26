"""`.cu3s` sessions through a stand-in for the vendor's package."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.errors import CubeFormatError, MissingExtraError
from tests.data import fake_cuvis

CUBES = np.arange(2 * 4 * 5 * 3, dtype=np.uint16).reshape(2, 4, 5, 3)
WAVELENGTHS = [450, 550, 650]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "cuvis", fake_cuvis)
    path = tmp_path / "tray.cu3s"
    fake_cuvis.write_session(path, CUBES, WAVELENGTHS)
    return path


@pytest.mark.parametrize("number", [0, 1])
def test_measurement_by_its_number(session: Path, number: int) -> None:
    for key in (number, str(number)):
        cube = read_cube(session, key=key)
        assert (cube.shape, cube.dtype) == ((4, 5, 3), np.uint16)
        np.testing.assert_array_equal(np.asarray(cube.values), CUBES[number])
        np.testing.assert_array_equal(cube.values[1:, 2, [0, 2]], CUBES[number][1:, 2, [0, 2]])
        np.testing.assert_array_equal(cube.wavelengths, WAVELENGTHS)


def test_measurements_in_turn_and_after_pickling(session: Path) -> None:
    cubes = pickle.loads(pickle.dumps([read_cube(session, key=i) for i in (0, 1)]))
    for row in range(4):
        for i in (0, 1):
            np.testing.assert_array_equal(cubes[i].values[row], CUBES[i][row])


def test_only_measurement_needs_no_key(session: Path) -> None:
    fake_cuvis.write_session(session, CUBES[1:])
    cube = read_cube(session)
    np.testing.assert_array_equal(np.asarray(cube.values), CUBES[1])
    assert cube.wavelengths is None


def test_several_measurements_need_a_key(session: Path) -> None:
    with pytest.raises(CubeFormatError, match=r"got 2\. Pass key=, a number from 0 to 1"):
        read_cube(session)


@pytest.mark.parametrize("key", [2, "-1", "first"])
def test_wrong_number_is_refused(session: Path, key: int | str) -> None:
    with pytest.raises(CubeFormatError, match=f"a number from 0 to 1, got '{key}'"):
        read_cube(session, key=key)


def test_measurement_saved_without_its_cube_is_processed(session: Path) -> None:
    fake_cuvis.write_session(session, CUBES, WAVELENGTHS, unprocessed=[1])
    np.testing.assert_array_equal(np.asarray(read_cube(session, key=1).values), CUBES[1])


def test_measurement_without_a_cube_is_refused(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuvis.write_session(session, CUBES, WAVELENGTHS, unprocessed=[1])
    monkeypatch.setattr(fake_cuvis.ProcessingContext, "apply", lambda self, measurement: measurement)
    with pytest.raises(CubeFormatError, match="expected a cube in measurement 1, got none"):
        read_cube(session, key=1)


def test_without_the_package_the_install_line_is_shown(
    session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuvis", None)
    with pytest.raises(MissingExtraError, match=r'pip install "cubes-to-maps\[cu3s\]"'):
        read_cube(session, key=0)


def test_without_the_sdk_the_way_out_is_shown(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = session.parent / "site"
    folder.mkdir()
    (folder / "cuvis.py").write_text("import sys\nsys.exit(1)\n")  # as the vendor's package does
    monkeypatch.delitem(sys.modules, "cuvis")
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(MissingExtraError, match=r"Install the Cuvis SDK.*cuvis-ai convert"):
        read_cube(session, key=0)
