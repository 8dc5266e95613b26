from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvis_ai.data.band_selection import BandSelection
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_batch import read_batch
from cuvis_ai.data.loading.pixels import Window, bands_without_data, read_window, why_invalid
from cuvis_ai.data.options import ReadingOptions
from tests.data.files import write_envi

CUBE = np.random.default_rng(0).integers(1, 4000, (40, 7, 5)).astype("i2")
ALL = np.arange(5)
WHOLE = Window(0, 0, 40, 7)


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("bad", [[], [1]])
def test_pixels_lie_as_stored_if_asked(
    tmp_path: Path, interleave: str, bad: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cuvis_ai.data.loading.pixels._BLOCK_BYTES", 7 * 5 * 2 * 10)  # four blocks
    order = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[interleave]
    write_envi(tmp_path / "a.hdr", CUBE)
    header = (tmp_path / "a.hdr").read_text()
    (tmp_path / "a.hdr").write_text(header.replace("bip", interleave))
    (tmp_path / "a.img").write_bytes(CUBE.transpose(order).tobytes())
    cube, reading = read_cube(tmp_path / "a.hdr"), ReadingOptions(bad_bands=bad)
    bands = BandSelection.of(cube, reading)
    stored, _ = read_window(cube, WHOLE, bands, reading, as_stored=True)
    in_rows, _ = read_window(cube, WHOLE, bands, reading)
    assert np.array_equal(stored, np.delete(CUBE, bad, 2))
    assert np.array_equal(in_rows, stored)
    assert in_rows.flags.c_contiguous
    assert stored.transpose(order).flags.c_contiguous


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


def test_what_windows_have_in_common_lies_in_both() -> None:
    assert Window(3, 4, 5, 6).common(Window(-2, 7, 7, 100)) == Window(3, 7, 2, 3)
    assert Window(3, 4, 5, 6).common(Window(8, 4, 5, 6)) is None
    assert Window(3, 4, 5, 6).seen_from(1, -2) == Window(2, 6, 5, 6)
