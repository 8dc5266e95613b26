from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvis_ai.data.sources.number_list import listed
from cuvis_ai.errors import ConfigError, CubeFormatError
from tests.data.files import Files, write_cubes, write_envi


def test_the_header_decides_on_bands_wavelengths_and_no_data(tmp_path: Path) -> None:
    cube = np.random.default_rng(0).integers(1, 4000, size=(3, 4, 5)).astype(np.int16)
    cube[0, 1, 3] = -1
    cube[0, 2, 1] = -1  # in a bad band, which is not read
    fields = {
        "bbl": "{1, 0, 1, 1, 0}",
        "wavelength": "{400, 500, 600, 700, 800}",
        "wavelength_units": "nm",
        "data_ignore_value": "-1",
    }
    write_envi(tmp_path / "a.hdr", cube, **fields)
    datamodule = Files(tmp_path, (0, 0, 1))
    batch = next(iter(datamodule.test_dataloader()))
    assert datamodule.band_indices == [0, 2, 3]
    assert datamodule.wavelengths is not None
    assert datamodule.wavelengths.tolist() == batch["wavelengths"].tolist() == [400, 600, 700]
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0).numpy(), cube[..., [0, 2, 3]])
    assert (~batch["valid"]).nonzero().tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("bad_bands", [[], [0, 4], [2]])
def test_a_list_of_bad_bands_replaces_the_header(tmp_path: Path, bad_bands: list[int]) -> None:
    kept = [band for band in range(5) if band not in bad_bands]
    cube = np.random.default_rng(0).integers(1, 4000, size=(3, 4, 5)).astype(np.int16)
    write_envi(tmp_path / "a.hdr", cube, bbl="{1, 0, 1, 1, 0}")
    datamodule = Files(tmp_path, (0, 0, 1), bad_bands=bad_bands, wavelengths=[4.0, 5.0, 6.0, 7.0, 8.0])
    batch = next(iter(datamodule.test_dataloader()))
    assert datamodule.band_indices == kept
    assert batch["wavelengths"].tolist() == [4.0 + band for band in kept]
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0).numpy(), cube[..., kept])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bad_bands": [5]}, r"`bad_bands`: expected positions from 0 to 4.*\[5\]"),
        ({"bad_bands": range(5)}, "`bad_bands`: expected at least one good band of 5"),
        ({"wavelengths": [1.0]}, "`wavelengths`: expected 5 values.*got 1"),
    ],
)
def test_bands_that_the_cubes_do_not_have_are_refused(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    write_cubes(tmp_path, 1)
    with pytest.raises(ConfigError, match=message):
        Files(tmp_path, (1, 0, 0), **arguments).setup()


@pytest.mark.parametrize(
    ("bands", "fields", "message"),
    [
        (4, {}, r"b\.hdr.*expected 5 bands as in .*a\.hdr, got 4"),
        (5, {"wavelength": "{400, 500, 600, 700, 802}"}, r"b\.hdr.*got band 4 at 802 nm instead of 800 nm"),
        (5, {"bbl": "{1, 1, 0, 1, 1}"}, r"b\.hdr.*got bands \[2\] flagged bad.*`bad_bands="),
    ],
)
def test_a_cube_with_other_bands_than_the_first_is_refused(
    tmp_path: Path, bands: int, fields: dict[str, str], message: str
) -> None:
    first = {"wavelength": "{400, 500, 600, 700, 800}", "wavelength_units": "nm", "bbl": "{1, 1, 1, 1, 1}"}
    write_envi(tmp_path / "a.hdr", np.ones((2, 2, 5), dtype=np.int16), **first)
    others = {**first, **fields} if bands == 5 else {}
    write_envi(tmp_path / "b.hdr", np.ones((2, 2, bands), dtype=np.int16), **others)
    with pytest.raises(CubeFormatError, match=message):
        list(Files(tmp_path, (0, 0, 2)).test_dataloader())


def test_wavelengths_rounded_differently_are_the_same(tmp_path: Path) -> None:
    for name, centre in (("a", "400.37"), ("b", "400.4")):
        fields = {"wavelength": f"{{{centre}, 500}}", "wavelength_units": "nm"}
        write_envi(tmp_path / f"{name}.hdr", np.ones((2, 2, 2), dtype=np.int16), **fields)
    (batch,) = Files(tmp_path, (0, 0, 2)).test_dataloader()
    assert batch["wavelengths"].tolist() == pytest.approx([400.37, 500.0])


def test_of_many_bands_the_first_and_the_last_are_shown() -> None:
    assert listed([1, 2.5, 3]) == "[1, 2.5, 3]"
    assert listed(range(400)) == "[0, 1, 2, 3, … (400 in all) …, 397, 398, 399]"
