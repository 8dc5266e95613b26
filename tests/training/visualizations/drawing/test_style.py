"""What all drawings have in common: names, sizes, and no global state."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from cuvis_ai.training.visualizations.drawing import style
from cuvis_ai.training.visualizations.drawing.composite import composite, draw_overview
from cuvis_ai.training.visualizations.drawing.curves import draw_precision_recall
from cuvis_ai.training.visualizations.drawing.histograms import draw_heatmap, draw_histogram, scale_of
from cuvis_ai.training.visualizations.drawing.mean_spectra import Spectra, draw_components, draw_spectra
from cuvis_ai.training.visualizations.drawing.projection import draw_scatter
from tests.training.visualizations.drawing.arrays import CUBE, MASK, NM, SCORES

RNG = np.random.default_rng(0)

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


@pytest.mark.parametrize("width", [1, 10, 60, 200])
@pytest.mark.parametrize("masked", [False, True])
def test_titles_of_tall_scenes_do_not_overlap(width, masked):
    cube, scores = RNG.normal(size=(200, width, 5)), RNG.normal(size=(200, width))
    mask = scores > 1 if masked else None
    image = composite(cube, NM)[0]
    heatmap = draw_heatmap(
        scores, image, "True colour", threshold=1.0, scale=scale_of(scores, "inferno"), mask=mask
    )
    for figure in (draw_overview(cube, cube, mask, NM), heatmap):
        figure.canvas.draw()
        texts = [
            text.get_window_extent()
            for axes in figure.axes
            for text in (axes.title, axes.xaxis.label)
            if text.get_text()
        ]
        assert not [1 for a, b in itertools.combinations(texts, 2) if a.overlaps(b)]


def test_lines_break_where_bands_are_missing_or_fall_back():
    x, (y,) = style.broken(np.array([1.0, 2, 3, 20, 21, 20.5, 22]), np.arange(7.0))
    np.testing.assert_array_equal(np.isnan(x), [0, 0, 0, 1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(y[~np.isnan(y)], np.arange(7.0))


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
