from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cuvis_ai.data.cube_batch import read_batch
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.errors import ConfigError, CubeFormatError
from tests.data.files import write_envi

CUBE = np.random.default_rng(0).integers(1, 4000, (6, 7, 5)).astype("i2")
CUBE[:2, 3:] = -9999
FIELDS = {
    "data_ignore_value": "-9999",
    "bbl": "{1,1,0,1,1}",
    "wavelength": "{400,500,600,700,800}",
    "wavelength_units": "nm",
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"no_data": 5},
        {"bad_bands": []},
        {"bad_bands": [0, 4]},
        {"wavelengths": [1, 2, 3, 4, 5]},
        {"saturation": 3500},
    ],
)
def test_the_batch_is_that_of_the_data_modules(tmp_path: Path, options: dict[str, Any]) -> None:
    write_envi(tmp_path / "scene.hdr", CUBE, **FIELDS)
    read = read_batch(tmp_path / "scene.hdr", **options)
    expected = SceneTiles(tmp_path / "scene.hdr", tile=6, **options).scene()
    assert read.keys() == expected.keys()
    assert read["name"] == expected["name"]
    for key in read.keys() - {"name"}:
        assert torch.equal(read[key], expected[key])
    assert read["cube"].is_contiguous(memory_format=torch.channels_last)


def test_a_border_without_data_is_not_valid(tmp_path: Path) -> None:
    write_envi(tmp_path / "scene.hdr", CUBE, **FIELDS)
    batch = read_batch(tmp_path / "scene.hdr")
    np.testing.assert_array_equal(batch["valid"][0].numpy(), CUBE[:, :, 0] != -9999)
    assert batch["wavelengths"].tolist() == [400, 500, 700, 800]


@pytest.mark.parametrize(
    "options",
    [
        {"axes": "hhc"},
        {"bad_bands": [-1]},
        {"wavelengths": [1.0]},
        {"no_data": "x"},
        {"scaled": 2},
        {"scaled": "no"},
        {"axes": 5},
        {"wavelengths": 5},
        {"bad_bands": [1.5]},
        {"key2": 1},
    ],
)
def test_impossible_options_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    np.save(tmp_path / "a.npy", CUBE)
    with pytest.raises(ConfigError, match=next(iter(options))):
        read_batch(tmp_path / "a.npy", **options)


def test_vectors_of_numpy_are_taken(tmp_path: Path) -> None:
    write_envi(tmp_path / "scene.hdr", CUBE, **FIELDS)
    options = {"bad_bands": np.array([0, 4]), "no_data": np.int16(5), "wavelengths": np.arange(1.0, 6.0)}
    batch = read_batch(tmp_path / "scene.hdr", **options)  # type: ignore[arg-type]
    assert batch["wavelengths"].tolist() == [2, 3, 4]


def test_a_file_without_a_valid_pixel_is_refused_by_the_band(tmp_path: Path) -> None:
    dead = CUBE.copy()
    dead[:, :, 1] = -9999
    write_envi(tmp_path / "scene.hdr", dead, **FIELDS)
    with pytest.raises(CubeFormatError, match=r"got none of 42: the bands \[1\] hold no data"):
        read_batch(tmp_path / "scene.hdr")
    assert read_batch(tmp_path / "scene.hdr", bad_bands=[1])["valid"].any()
