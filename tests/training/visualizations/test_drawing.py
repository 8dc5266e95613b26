"""Drawings hold the numbers that they were given; artists are compared, not pixels."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve

from cuvis_ai.training.visualizations.drawing import style
from cuvis_ai.training.visualizations.drawing.composite import (
    colour_bands,
    composite,
    draw_overview,
    marked,
    stretched,
)
from cuvis_ai.training.visualizations.drawing.curves import OperatingPoint, draw_precision_recall
from cuvis_ai.training.visualizations.drawing.histograms import (
    Scale,
    bin_edges,
    draw_heatmap,
    draw_histogram,
    overlay,
    scale_of,
)
from cuvis_ai.training.visualizations.drawing.mean_spectra import (
    MOST_COMPONENTS,
    Spectra,
    draw_components,
    draw_spectra,
)
from cuvis_ai.training.visualizations.drawing.projection import draw_scatter
from cuvis_ai.training.visualizations.drawing.thinning import Thinned

RNG = np.random.default_rng(0)
CUBE = RNG.normal(size=(6, 8, 5))
NM = np.array([450.0, 465.0, 548.0, 635.0, 900.0])
SCORES = RNG.chisquare(3, size=(6, 8))
MASK = SCORES > 6


def shown(figure: Figure) -> list[np.ndarray]:
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


# Composites.


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


# Scores.


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


# Spectra, components, curves, scatter.


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


def test_lines_break_where_bands_are_missing_or_fall_back():
    x, (y,) = style.broken(np.array([1.0, 2, 3, 20, 21, 20.5, 22]), np.arange(7.0))
    np.testing.assert_array_equal(np.isnan(x), [0, 0, 0, 1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(y[~np.isnan(y)], np.arange(7.0))


def test_components_are_lines_of_their_weights():
    weights = RNG.normal(size=(10, 5))
    figure = draw_components(weights, None, np.full(10, 0.1))
    (axes,) = figure.axes
    for line, row in zip(axes.lines[1:], weights[:MOST_COMPONENTS], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), row)
    assert figure.legends[0].get_texts()[0].get_text() == "1 (10.0%)"
    assert f"first {MOST_COMPONENTS} of 10" in axes.get_title()


def test_area_under_the_drawn_steps_is_the_average_precision():
    truth, scores = MASK.ravel() ^ (RNG.random(48) < 0.1), SCORES.ravel()
    precision, recall, _ = precision_recall_curve(truth, scores)
    area = average_precision_score(truth, scores)
    point = OperatingPoint(0.5, 0.6, "best")
    figure = draw_precision_recall(
        recall[-2::-1], precision[-2::-1], average_precision=area, share=0.1, points=(point,)
    )
    steps, guess, mark = figure.axes[0].lines
    assert steps.get_drawstyle() == "steps-pre"
    assert np.sum(np.diff(steps.get_xdata()) * steps.get_ydata()[1:]) == pytest.approx(area)
    assert guess.get_ydata()[0] == 0.1
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (0.5, 0.6)


@pytest.mark.parametrize(("d", "pairs"), [(2, [(0, 1)]), (3, [(0, 1), (0, 2), (1, 2)])])
def test_scatter_shows_each_pair_of_components(d, pairs):
    normal, rare = RNG.normal(size=(30, d)), RNG.normal(size=(4, d))
    figure = draw_scatter(normal, rare, np.full(d, 0.25))
    for axes, pair in zip(figure.axes, pairs, strict=True):
        drawn = [c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)]
        np.testing.assert_array_equal(drawn[0], normal[:, pair])
        np.testing.assert_array_equal(drawn[1], rare[:, pair])
        assert axes.get_xlabel() == f"score {pair[0] + 1} (25.0% of variance)"


# What all have in common.

ALL = {
    "overview": lambda: draw_overview(CUBE, CUBE, MASK, NM),
    "heatmap": lambda: draw_heatmap(
        SCORES, composite(CUBE, NM)[0], "", threshold=4.0, scale=scale_of(SCORES, "inferno"), mask=MASK
    ),
    "histogram": lambda: draw_histogram(np.arange(4.0), np.array([3, 2, 1])),
    "spectra": lambda: draw_spectra(Spectra(np.ones(5), np.ones(5), 2), None, NM),
    "components": lambda: draw_components(RNG.normal(size=(3, 5)), NM),
    "precision_recall": lambda: draw_precision_recall(
        np.array([0.5, 1.0]), np.array([1.0, 0.5]), average_precision=0.75, share=0.1
    ),
    "scatter": lambda: draw_scatter(RNG.normal(size=(9, 2)), None),
}


@pytest.mark.parametrize("name", ALL)
def test_every_picture_names_its_axes_and_has_a_legend(name):
    figure = ALL[name]()
    plots = [axes for axes in figure.axes if axes.get_title()]
    assert plots
    assert any(axes.get_xlabel() for axes in plots)
    assert any(axes.get_ylabel() for axes in plots)
    assert figure.legends or any(axes.get_legend() for axes in plots)


@pytest.mark.parametrize("name", ALL)
def test_text_is_readable_at_a_third_of_the_size(name):
    """12 points at 100 dpi are 17 pixels; a third of them, 5.5, is what the eye still reads."""
    figure = ALL[name]()
    figure.canvas.draw()
    texts = (text for axes in figure.axes for text in (axes.title, axes.xaxis.label, *axes.get_xticklabels()))
    assert min(text.get_fontsize() for text in texts if text.get_text()) >= 12
    assert figure.get_figwidth() * figure.dpi <= 1400


def test_nothing_global_is_touched():
    program = (
        "import sys, matplotlib, numpy as np\n"
        "before = matplotlib.rcParams._get('backend')\n"
        "from cuvis_ai.training.visualizations.drawing.composite import draw_overview\n"
        "import cuvis_ai.training.visualizations\n"
        "draw_overview(np.random.rand(4, 4, 5), np.random.rand(4, 4, 3)).canvas.draw()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams._get('backend') is before\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@given(
    sizes=st.lists(st.integers(0, 40), max_size=8),
    limit=st.integers(1, 20),
)
def test_sample_is_even_bounded_and_the_same_for_any_batches(sizes, limit):
    rows = np.arange(sum(sizes), dtype=float)[:, None]
    sample, whole = Thinned(limit, 1), Thinned(limit, 1)
    for part in np.split(rows, np.cumsum(sizes)[:-1] if sizes else []):
        sample.update(part)
    whole.update(rows)
    assert len(sample.rows) <= limit
    np.testing.assert_array_equal(sample.rows, rows[:: sample.stride])
    np.testing.assert_array_equal(sample.rows, whole.rows)
