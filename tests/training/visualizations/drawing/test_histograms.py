"""Pictures of scores hold the numbers that they were given; artists are compared, not pixels."""

import numpy as np
import pytest

from cuvis_ai.training.visualizations.drawing.composite import composite, marked
from cuvis_ai.training.visualizations.drawing.histograms import (
    Scale,
    bin_edges,
    draw_heatmap,
    draw_histogram,
    overlay,
    scale_of,
)
from tests.training.visualizations.drawing.arrays import CUBE, MASK, NM, SCORES, shown


def test_scale_leaves_outliers_to_its_pointed_ends():
    scores = np.concatenate([np.arange(1000.0), [1e9, np.nan]])
    scale = scale_of(scores, "viridis")
    assert (scale.vmin, scale.vmax) == pytest.approx((20.0, np.nanpercentile(scores, 99.5)))
    assert scale_of(scores, "viridis", -1.0, 7.0) == Scale(colormap="viridis", vmin=-1.0, vmax=7.0)
    assert scale_of(np.full(4, np.nan), "viridis").vmax > scale_of(np.full(4, np.nan), "viridis").vmin


def test_overlay_is_clear_at_the_low_end_and_opaque_at_the_high_one():
    image, _ = composite(CUBE, None)
    scale = Scale(colormap="inferno", vmin=float(SCORES.min()), vmax=float(SCORES.max()))
    laid = overlay(image, SCORES, scale)
    low, high = np.unravel_index(SCORES.argmin(), (6, 8)), np.unravel_index(SCORES.argmax(), (6, 8))
    np.testing.assert_allclose(laid[low], image[low])
    np.testing.assert_allclose(laid[high], [0.988362, 0.998364, 0.644924], atol=1e-6)  # inferno's end
    assert np.isfinite(overlay(image, np.full((6, 8), np.nan), scale)).all()


@pytest.mark.parametrize("mask", [MASK, None])
def test_heatmap_shows_scores_and_what_exceeds_the_threshold(mask):
    scores = SCORES.copy()
    scores[0, 0] = np.nan
    image, title = composite(CUBE, NM)
    scale = Scale(colormap="inferno", vmin=1.0, vmax=5.0)
    figure = draw_heatmap(scores, image, title, threshold=4.0, scale=scale, mask=mask)
    panels = shown(figure)
    np.testing.assert_array_equal(np.ma.filled(panels[0], np.nan), scores)
    assert figure.axes[0].images[0].get_clim() == (1.0, 5.0)
    np.testing.assert_array_equal(panels[1], overlay(image, scores, scale))
    np.testing.assert_array_equal(panels[2], marked(image, np.nan_to_num(scores, nan=0) > 4.0))
    assert len(panels) == (3 if mask is None else 4)
    if mask is not None:
        np.testing.assert_array_equal(panels[3], marked(image, mask))


def test_histogram_shows_counts_and_threshold():
    edges = np.linspace(0, 10, 6)
    normal, rare = np.array([9, 5, 3, 1, 0]), np.array([0, 0, 1, 2, 1])
    (axes,) = draw_histogram(edges, normal, rare, 6.5, "mean + 2 std").axes
    for stairs, counts in zip(axes.patches, (normal, rare), strict=True):
        np.testing.assert_array_equal(stairs.get_data().values, counts)
        np.testing.assert_array_equal(stairs.get_data().edges, edges)
    assert axes.lines[0].get_xdata()[0] == 6.5
    assert [t.get_text() for t in axes.get_legend().get_texts()] == [
        "normal (18 pixels)",
        "anomalous (4 pixels)",
        "mean + 2 std = 6.5",
    ]
    assert axes.get_xscale() == "linear"


def test_histogram_of_a_long_tail_has_a_logarithmic_axis():
    edges = bin_edges(1.0, 2.0, 1000.0, 10)
    np.testing.assert_allclose(edges[1:] / edges[:-1], 1000.0**0.1)
    assert draw_histogram(edges, np.ones(10, dtype=int)).axes[0].get_xscale() == "log"
    np.testing.assert_allclose(bin_edges(-1.0, 2.0, 1000.0, 4), np.linspace(-1, 1000, 5))
    assert (np.diff(bin_edges(3.0, 3.0, 3.0, 4)) > 0).all()
