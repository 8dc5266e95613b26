"""Wavelengths in nm against the definitions of the units."""

import warnings

import numpy as np
import pytest

from cuvis_ai.data.wavelengths import nanometres
from cuvis_ai.errors import CubeFormatError

DECLARED = [
    ("Nanometers", [400.0, 2500.0]),
    ("nm", [400.0, 2500.0]),
    ("  NANOMETRES ", [400.0, 2500.0]),
    ("Micrometers", [0.4, 2.5]),
    ("Microns", [0.4, 2.5]),
    ("um", [0.4, 2.5]),
    ("µm", [0.4, 2.5]),  # micro sign
    ("μm", [0.4, 2.5]),  # Greek letter
    ("Millimeters", [4e-4, 2.5e-3]),
    ("Centimeters", [4e-5, 2.5e-4]),
    ("Meters", [4e-7, 2.5e-6]),
    ("Angstroms", [4000.0, 25000.0]),
    ("Wavenumber", [25000.0, 4000.0]),
    ("cm-1", [25000.0, 4000.0]),
    ("GHz", [749481.145, 119916.9832]),  # c / 400 nm, c / 2500 nm
    ("MHz", [749481145.0, 119916983.2]),
    ("Nanometers (nm)", [400.0, 2500.0]),
    ("Micrometers [µm]", [0.4, 2.5]),
    ("Wavenumber (cm-1)", [25000.0, 4000.0]),
    ("[um]", [0.4, 2.5]),
]


@pytest.mark.parametrize(("units", "values"), DECLARED)
def test_declared_unit_is_taken_as_declared(units: str, values: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        centres = nanometres(values, units, "file")
    assert centres.dtype == np.float64
    np.testing.assert_allclose(centres, [400.0, 2500.0], rtol=1e-12)


def test_declared_unit_wins_over_the_values() -> None:
    np.testing.assert_array_equal(nanometres([0.4, 2.5], "nm", "file"), [0.4, 2.5])


@pytest.mark.parametrize("units", [None, "", "Unknown"])
@pytest.mark.parametrize(
    ("values", "expected", "guess"),
    [
        ([400.0, 1000.0], [400.0, 1000.0], "taken as nm"),
        ([0.4, 2.5], [400.0, 2500.0], "taken as µm"),
        ([8.0, 14.0], [8000.0, 14000.0], "taken as µm"),
        ([0.0, 500.0], [0.0, 500.0], "taken as nm"),
    ],
)
def test_undeclared_unit_is_guessed_with_a_warning(
    units: str | None, values: list[float], expected: list[float], guess: str
) -> None:
    with pytest.warns(UserWarning, match=f"scene.hdr: .*undeclared; {guess}"):
        centres = nanometres(values, units, "scene.hdr")
    np.testing.assert_allclose(centres, expected, rtol=1e-12)


def test_word_that_is_no_unit_is_named() -> None:
    with pytest.warns(UserWarning, match="declared as 'furlongs'.*taken as nm"):
        nanometres([400.0], "furlongs", "file")


def test_band_numbers_are_no_wavelengths() -> None:
    assert nanometres([1, 2, 3], "Index", "file") is None


@pytest.mark.parametrize(("values", "units"), [([400.0, np.nan], "nm"), ([400.0, 0.0], "cm-1")])
def test_value_that_is_not_finite_is_refused(values: list[float], units: str) -> None:
    with pytest.raises(CubeFormatError, match="at band 1"):
        nanometres(values, units, "file")


@pytest.mark.parametrize("values", [[0.0, 0.0], [-400.0, 500.0]])
def test_what_is_no_length_is_refused(values: list[float]) -> None:
    with pytest.raises(CubeFormatError, match="expected finite wavelengths from 0 on, not all 0"):
        nanometres(values, "nm", "file")
