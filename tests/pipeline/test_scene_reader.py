"""A scene's bands are those of training, in their order, whatever the file has besides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.errors import CubeFormatError, GraphError
from cuvis_ai.pipeline.scene_batch import scene_batch
from cuvis_ai.pipeline.scene_reader import SceneReader
from cuvis_ai.pipeline.trained_bands import TrainedBands
from tests.data.files import write_envi

CUBE = np.arange(5 * 4 * 3, dtype="i2").reshape(5, 4, 3) + 1
NM = "{400,500,600}"


def reader(path: Path, trained: TrainedBands, **options: object) -> SceneReader:
    return SceneReader.of(read_cube(path), trained, ReadingOptions(), **options)


def test_a_window_has_the_bands_of_training_in_their_order(tmp_path: Path) -> None:
    write_envi(tmp_path / "a.hdr", CUBE, wavelength=NM, wavelength_units="nm")
    trained = TrainedBands.of([601.0, 402.0], None)
    batch = scene_batch(reader(tmp_path / "a.hdr", trained, match_bands=True), Window(1, 2, 3, 2))
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0), CUBE[1:4, 2:4, [2, 0]])
    assert batch["wavelengths"].tolist() == [600.0, 400.0]


def test_beyond_its_border_a_scene_has_the_pixels_of_its_neighbours(tmp_path: Path) -> None:
    fields = {"wavelength": NM, "wavelength_units": "nm", "data_ignore_value": "-1"}
    theirs = CUBE + 100
    theirs[1, 0] = -1
    for name, values in (("a", CUBE), ("b", theirs), ("c", CUBE + 200)):
        write_envi(tmp_path / f"{name}.hdr", values, **fields)
    trained = TrainedBands.of([601.0, 402.0], None)
    a, b, c = (reader(tmp_path / f"{name}.hdr", trained, match_bands=True) for name in "abc")
    # On a's right b, which begins a row lower; c covers its second column and that after it, from a's first row.
    joined = replace(a, neighbours=((Window(1, 4, 5, 4), b), (Window(0, 5, 5, 4), c)))

    assert joined.around(Window(0, 0, 2, 4), 2) == Window(0, 0, 4, 6)
    assert joined.around(Window(3, 0, 2, 4), 2) == Window(1, 0, 5, 6)
    assert a.around(Window(3, 0, 2, 4), 2) == Window(1, 0, 4, 4)
    pixels, valid = joined.read(Window(0, 2, 4, 4))

    expected = np.zeros((4, 4, 2))
    expected[:, :2] = CUBE[:4, 2:, [2, 0]]
    expected[1:, 2:] = theirs[:3, :2, [2, 0]]
    expected[0, 3] = CUBE[0, 0, [2, 0]] + 200
    measured = np.ones((4, 4), dtype=bool)
    measured[0, 2] = measured[2, 2] = False
    assert valid is not None
    np.testing.assert_array_equal(valid, measured)
    np.testing.assert_array_equal(pixels[measured], expected[measured])
    batch = scene_batch(joined, Window(0, 2, 4, 4))
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0), pixels)
    np.testing.assert_array_equal(batch["valid"][0], measured)


def test_a_needed_band_that_is_flagged_bad_is_named(tmp_path: Path) -> None:
    write_envi(tmp_path / "a.hdr", CUBE, wavelength=NM, wavelength_units="nm", bbl="{1,0,1}")
    trained = TrainedBands.of([400.0, 500.0, 600.0], [0, 1, 2])
    with pytest.raises(GraphError, match=r"bands \[1\] at \[500\] nm flagged bad"):
        reader(tmp_path / "a.hdr", trained)


def test_a_needed_band_without_data_is_named(tmp_path: Path) -> None:
    empty = CUBE.copy()
    empty[:, :, 1] = -1
    write_envi(tmp_path / "a.hdr", empty, data_ignore_value="-1")
    with pytest.raises(GraphError, match=r"none in the bands \[1\]"):
        reader(tmp_path / "a.hdr", TrainedBands.of(None, [0, 1, 2])).require_data()
    write_envi(tmp_path / "b.hdr", np.full_like(CUBE, -1), data_ignore_value="-1")
    with pytest.raises(CubeFormatError, match="all bands hold no data"):
        reader(tmp_path / "b.hdr", TrainedBands()).require_data()
