"""Drawings of choices of bands."""

import numpy as np

from cuvis_ai.training.visualizations.drawing.chosen_bands import (
    draw_choice,
    draw_stability,
    draw_study,
    draw_temperatures,
)
from cuvis_ai.training.visualizations.drawing.mean_spectra import Spectra

NM = np.array([700.0, 400.0, 500.0, 600.0])
SPECTRA = {"normal": Spectra(np.arange(4.0), np.ones(4), 9), "anomalous": None}


def test_bars_stand_at_the_wavelengths_and_the_chosen_ones_apart() -> None:
    above, below = draw_choice(np.array([0.9, 0.1, 0.8, 0.2]), [0, 2], SPECTRA, NM).axes
    bars = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in above.containers[1]}
    assert bars == {700: 0.9, 500: 0.8}
    assert below.lines[0].get_xdata().tolist() == [400, 500, 600, 700]
    assert below.lines[0].get_ydata().tolist() == [1, 2, 3, 0]


def test_temperatures_have_their_guides() -> None:
    (axes,) = draw_temperatures(np.arange(3), np.array([5.0, 2.0, 1.0]), 5.0, 0.1).axes
    assert [line.get_ydata()[0] for line in axes.lines] == [5.0, 5.0, 0.1]
    assert axes.lines[0].get_xdata().tolist() == [1, 2, 3]


def test_changes_are_counted_where_there_are_some() -> None:
    (axes,) = draw_stability(np.arange(3), np.array([1.0, 0.5, 1.0]), np.array([0, 2, 0])).axes
    assert [text.get_text() for text in axes.texts] == ["2"]


def test_the_sufficient_number_is_named() -> None:
    above, below = draw_study({1: [0], 2: [0, 2]}, SPECTRA, NM, 4, sufficient=2).axes
    assert [label.get_text() for label in above.get_yticklabels()] == ["1", "2 (enough)"]
    assert sorted(line.get_xdata()[0] for line in below.lines[1:]) == [500, 700]
