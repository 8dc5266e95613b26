"""Curves over wavelength: spectra and components."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cuvis_ai.training.visualizations.drawing import style
from cuvis_ai.training.visualizations.drawing.composite import Wavelengths

MOST_COMPONENTS = len(style.SERIES)
"""Components beyond this are not drawn: their lines could not be told apart."""


class Spectra(NamedTuple):
    """The spectra of one class of pixels."""

    mean: NDArray[np.float64]
    """(c,)"""
    spread: NDArray[np.float64]
    """(c,) standard deviation"""
    n_pixels: int
    """Number of pixels."""


def draw_spectra(
    normal: Spectra | None,
    anomalous: Spectra | None,
    wavelengths: Wavelengths | None = None,
    *,
    quantity: str = "value (sensor units)",
    truth_known: bool = True,
) -> Figure:
    """Return the mean spectra of both classes with a band of ± one standard deviation.

    Args:
        normal: of the normal pixels, of all where the truth is not known; None if there are none.
        anomalous: of the anomalies.
        wavelengths: (c,) in nm.
        quantity: name and unit of the values.
        truth_known: whether `normal` are the normal pixels; else they are called all.
    """
    figure, (axes,) = style.panels(1, 0.8)
    classes = (
        ("normal" if truth_known else "all", normal, style.NORMAL, "-"),
        ("anomalous", anomalous, style.ANOMALY, "--"),
    )
    title_x = "wavelength (nm)"
    for name, spectra, colour, stroke in classes:
        if spectra is None:
            continue
        x, title_x = style.spectral_axis(wavelengths, len(spectra.mean))
        x, (mean, low, high) = style.broken(
            x, spectra.mean, spectra.mean - spectra.spread, spectra.mean + spectra.spread
        )
        label = f"{name}, mean of {spectra.n_pixels} pixels"
        axes.plot(x, mean, color=colour, linestyle=stroke, linewidth=2.5, label=label)
        axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0, label="± 1 std. deviation")
    style.label(axes, "Spectra", title_x, quantity)
    style.legend(axes, space_above=False)
    return figure


def draw_components(components: NDArray[np.floating], wavelengths: Wavelengths | None = None) -> Figure:
    """Return the weights of each component over wavelength; of the first eight.

    Args:
        components: (k, c), one a row.
        wavelengths: (c,) in nm.
    """
    figure, (axes,) = style.panels(1, 0.8)
    x, title_x = style.spectral_axis(wavelengths, components.shape[1])
    axes.axhline(0.0, color="0.6", linewidth=1)
    for i, row in enumerate(components[:MOST_COMPONENTS]):
        at, (values,) = style.broken(x, row)
        stroke = style.STROKES[i % len(style.STROKES)]
        axes.plot(at, values, color=style.SERIES[i], linestyle=stroke, linewidth=2, label=str(i + 1))
    n = len(components)
    first = f", first {MOST_COMPONENTS} of {n}" if n > MOST_COMPONENTS else ""
    style.label(axes, f"Components{first}", title_x, "weight (no unit)")
    style.legend_beside(figure, axes, "component")
    return figure
