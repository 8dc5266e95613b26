"""Composites: the bands that are shown, how they are stretched, and what is marked."""

import numpy as np
import pytest

from cuvis_ai.training.visualizations.drawing import style
from cuvis_ai.training.visualizations.drawing.composite import (
    colour_bands,
    composite,
    draw_overview,
    marked,
    stretched,
)
from tests.training.visualizations.drawing.arrays import CUBE, MASK, NM, shown

RNG = np.random.default_rng(0)


def test_bands_are_the_nearest_to_red_green_and_blue():
    assert colour_bands(5, NM).indices == (3, 2, 1)
    assert colour_bands(5, NM).title == "True colour (635, 548, 465 nm)"


@pytest.mark.parametrize("wavelengths", [None, NM[:4], NM + 800.0, np.full(5, 550.0)])
def test_bands_are_evenly_spaced_where_colours_are_not_measured(wavelengths):
    assert colour_bands(61, None).indices == (50, 30, 10)
    assert colour_bands(5, wavelengths).title.startswith("False colour")


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_bands_still_make_a_picture(n):
    image, _ = composite(CUBE[..., :n], None)
    assert image.shape == (6, 8, 3)


def test_stretch_maps_the_percentiles_to_0_and_1():
    image = stretched(CUBE[..., :3], 10.0, 90.0)
    low, high = np.percentile(CUBE[..., :3], (10.0, 90.0), axis=(0, 1))
    np.testing.assert_allclose(image, ((CUBE[..., :3] - low) / (high - low)).clip(0, 1))


def test_stretch_shows_pixels_without_data_in_grey_and_leaves_them_out_of_the_percentiles():
    cube = CUBE[..., :3].copy()
    cube[2, 3, 1] = np.nan
    cube[4, 4] = np.inf
    image = stretched(cube)
    assert image[2, 3] == pytest.approx(style.NO_DATA)
    kept = np.isfinite(cube).all(2)
    np.testing.assert_array_equal(image[kept], stretched(CUBE[kept][None, :, :3])[0])


def test_stretch_of_a_constant_or_of_nothing_is_finite():
    assert np.isfinite(stretched(np.ones((3, 3, 3)))).all()
    assert np.isfinite(stretched(np.full((3, 3, 3), np.nan))).all()


def test_overview_shows_colours_components_and_mask():
    scores = RNG.normal(size=(6, 8, 4))
    figure = draw_overview(CUBE, scores, MASK, NM)
    image, title = composite(CUBE, NM)
    for got, expected in zip(
        shown(figure), (image, stretched(scores[..., :3]), marked(image, MASK)), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    assert figure.axes[0].get_title() == title
    assert figure.legends[0].get_texts()[0].get_text() == f"anomalous: {MASK.sum()} of 48 pixels"


def test_overview_without_a_mask_has_two_panels():
    assert len(draw_overview(CUBE, CUBE[..., :1], None).axes) == 2
