from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_batch import read_batch
from cuvis_ai.data.loading.pixels import Window, bands_without_data, why_invalid
from cuvis_ai.data.options import ReadingOptions

CUBE = np.random.default_rng(0).integers(1, 4000, (40, 7, 5)).astype("i2")
ALL = np.arange(5)
WHOLE = Window(0, 0, 40, 7)


def test_no_data_of_0_counts_where_all_bands_are_0(tmp_path: Path) -> None:
    cube = CUBE.copy()
    cube[3, 4, 1] = 0  # dark in one band
    cube[5, 6] = 0
    np.save(tmp_path / "a.npy", cube)
    valid = read_batch(tmp_path / "a.npy", no_data=0)["valid"][0].numpy()
    assert np.argwhere(~valid).tolist() == [[5, 6]]


@pytest.mark.parametrize(
    ("dtype", "value", "no_data"), [("i2", -9, -9.0), ("f4", np.nan, None), ("f4", -9, -9.0), ("u2", 0, 0.0)]
)
@pytest.mark.parametrize("bad", [[], [1], [0, 3, 4]])
def test_bands_without_data(
    tmp_path: Path,
    dtype: str,
    value: float,
    no_data: float | None,
    bad: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cuvis_ai.data.loading.pixels._BLOCK_BYTES", 1)  # row by row
    cube = CUBE.astype(dtype)
    cube[:39, :, 2] = value  # this band has one row of data
    cube[:, :, bad] = value
    np.save(tmp_path / "a.npy", cube)
    opened = read_cube(tmp_path / "a.npy")
    reading = ReadingOptions(no_data=no_data)
    assert bands_without_data(opened, WHOLE, ALL, reading).tolist() == bad
    assert bands_without_data(opened, Window(0, 0, 39, 7), ALL, reading).tolist() == sorted({*bad, 2})


@pytest.mark.parametrize(
    ("bands", "options", "message"),
    [
        ([1, 3], {"no_data": -9}, r"the bands [1, 3] hold no data (no-data value -9)"),
        ([0, 1, 2, 3, 4], {"no_data": -9}, "all bands hold no data (no-data value -9)"),
        ([], {"saturation": 0}, "saturated"),
    ],
)
def test_the_reason_names_the_bands(
    tmp_path: Path, bands: list[int], options: dict[str, Any], message: str
) -> None:
    cube = CUBE.copy()
    cube[:, :, bands] = -9
    np.save(tmp_path / "a.npy", cube)
    assert message in why_invalid(read_cube(tmp_path / "a.npy"), WHOLE, ALL, ReadingOptions(**options))


def test_a_window_grows_as_far_as_the_cube_goes() -> None:
    assert Window(3, 4, 5, 6).grown(2, (100, 100)) == Window(1, 2, 9, 10)
    assert Window(1, 0, 5, 6).grown(2, (7, 6)) == Window(0, 0, 7, 6)
