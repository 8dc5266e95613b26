"""The look of every drawing: figures, sizes, colours, the axes of an image.

Figures are made with Matplotlib's object interface, so that no global state or backend is touched.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

NORMAL = "#0072B2"
"""Blue, for normal pixels."""
ANOMALY = "#D55E00"
"""Vermilion, for anomalies; told from the blue by every kind of colour vision, and in grey."""
THRESHOLD = "#000000"
"""Black, for thresholds."""
NO_DATA = (0.82, 0.82, 0.82)
"""Light grey, for pixels without data."""
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
"""The colours of Okabe and Ito, "Color Universal Design", 2008; told apart by every kind of colour vision."""
STROKES = ("-", "--", "-.", ":")
"""Strokes that go with them, so that a print in grey can be read too."""

_SIZES = {"title": 15.0, "label": 14.0, "tick": 12.0, "legend": 12.0}
_WIDTH, _DPI = 4.6, 100.0
_TALLEST = 1.6
"""Height of axes by their width; images that are taller become narrower."""


def panels(n: int, aspect: float = 0.8, *, images: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` axes side by side; four stand two by two.

    Args:
        n: number of axes.
        aspect: height of one by its width; limited to what fits a page.
        images: whether they show images, whose pixels are square.
    """
    rows, columns = (2, 2) if n == 4 else (1, n)
    width = _WIDTH * (columns if n > 1 else 1.6)
    height = _WIDTH * min(max(aspect, 0.35), _TALLEST) * rows + 0.7 / rows
    # Images that are narrow stay as far apart as wide ones, for the texts around them.
    close = images and aspect <= _TALLEST
    layout: Literal["compressed", "constrained"] = "compressed" if close else "constrained"
    figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout)
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(n)]
    for one in axes:
        one.tick_params(labelsize=_SIZES["tick"])
    return figure, axes


def name(figure: Figure, text: str) -> None:
    """Write above all axes which scene they show; an empty text writes nothing."""
    if text:
        figure.set_figheight(figure.get_figheight() + 0.4)
        figure.suptitle(text, fontsize=_SIZES["title"], fontweight="bold", parse_math=False)


def label(axes: Axes, title: str, x: str, y: str) -> None:
    """Write an axes' title and the quantities along it, with units."""
    axes.set_title(title, fontsize=_SIZES["title"])
    axes.set_xlabel(x, fontsize=_SIZES["label"])
    axes.set_ylabel(y, fontsize=_SIZES["label"])


def legend(axes: Axes, *, space_above: bool = True) -> None:
    """Add a legend of the labelled artists: at the top right if there is space, else where lines are few."""
    axes.legend(fontsize=_SIZES["legend"], loc="upper right" if space_above else "best", framealpha=0.85)


def legend_beside(figure: Figure, axes: Axes, title: str) -> None:
    """Add a legend of the labelled artists at the right of the axes, for lines that are everywhere."""
    handles, _ = axes.get_legend_handles_labels()
    size = _SIZES["legend"]
    figure.legend(handles=handles, fontsize=size, title=title, title_fontsize=size, loc="outside right upper")


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """Add a legend below all axes, where it hides no pixel of an image."""
    figure.legend(
        handles=handles, fontsize=_SIZES["legend"], loc="outside lower center", ncols=2, frameon=False
    )


def colour_bar(figure: Figure, image: AxesImage, axes: Axes, title: str, *, below: bool, above: bool) -> None:
    """Add the scale of an image's colours; its ends are pointed where values lie `below` or `above` it."""
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
    bar = figure.colorbar(image, ax=axes, extend=extend, pad=0.02)
    bar.set_label(title, fontsize=_SIZES["label"])
    bar.ax.tick_params(labelsize=_SIZES["tick"])


def image_axes(axes: Axes, title: str, *, left: bool = True, bottom: bool = True) -> None:
    """Label axes that show an image in pixels; only those on the `left` and at the `bottom` name them."""
    label(axes, title, "column (pixel)" if bottom else "", "row (pixel)" if left else "")
    few_ticks(axes, integer=True)


def few_ticks(axes: Axes, *, integer: bool = False) -> None:
    """Let axes have so few ticks that their labels stay apart."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=4, integer=integer))


def spectral_axis(
    wavelengths: Sequence[float] | NDArray[np.floating] | None, n: int
) -> tuple[NDArray[np.float64], str]:
    """Return positions along a spectrum of `n` bands and the axis' label; numbers without wavelengths."""
    if wavelengths is None or len(wavelengths) != n:
        return np.arange(n, dtype=np.float64), "band (number)"
    return np.asarray(wavelengths, dtype=np.float64), "wavelength (nm)"


def broken(
    x: NDArray[np.float64], *series: NDArray[np.floating]
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return x and the series with a NaN wherever a line should break.

    That is where bands are missing (a step of more than 5 times the usual one), and where x falls back,
    as between two detectors that overlap.
    """
    steps = np.diff(x)
    usual = np.median(np.abs(steps)) if len(steps) else 0.0
    after = np.flatnonzero((steps <= 0) | (steps > 5 * usual)) + 1
    values = [np.insert(np.asarray(one, dtype=np.float64), after, np.nan) for one in series]
    return np.insert(x, after, np.nan), values
