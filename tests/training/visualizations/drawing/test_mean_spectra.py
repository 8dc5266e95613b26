"""Spectra and components are lines over wavelength with the numbers that they were given."""

import numpy as np
import pytest

from cuvis_ai.training.visualizations.drawing.mean_spectra import (
    MOST_COMPONENTS,
    Spectra,
    draw_components,
    draw_spectra,
)
from tests.training.visualizations.drawing.arrays import NM

RNG = np.random.default_rng(0)


def test_spectra_show_mean_and_spread_over_wavelength():
    normal = Spectra(np.arange(5.0), np.full(5, 0.5), 90)
    rare = Spectra(np.arange(5.0) + 2, np.full(5, 0.1), 3)
    (axes,) = draw_spectra(normal, rare, NM).axes
    # The step from 635 to 900 nm is a gap in the measurement, and so in the line.
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [450, 465, 548, 635, 900])
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), rare.mean)
    low, high = axes.collections[0].get_datalim(axes.transData).intervaly
    assert (low, high) == pytest.approx((-0.5, 4.5))
    assert axes.get_xlabel() == "wavelength (nm)"
    assert draw_spectra(normal, None, None).axes[0].get_xlabel() == "band (number)"


def test_components_are_lines_of_their_weights():
    weights = RNG.normal(size=(10, 5))
    figure = draw_components(weights, None)
    (axes,) = figure.axes
    for line, row in zip(axes.lines[1:], weights[:MOST_COMPONENTS], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), row)
    assert figure.legends[0].get_texts()[0].get_text() == "1"
    assert f"first {MOST_COMPONENTS} of 10" in axes.get_title()
