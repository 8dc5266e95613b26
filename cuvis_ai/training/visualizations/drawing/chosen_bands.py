"""Choices of bands: over mean spectra, and how they change from epoch to epoch."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cuvis_ai.training.visualizations.drawing import style
from cuvis_ai.training.visualizations.drawing.composite import Wavelengths
from cuvis_ai.training.visualizations.drawing.mean_spectra import Spectra

_CLASSES = {"normal": (style.NORMAL, "-"), "anomalous": (style.ANOMALY, "--"), "all": (style.NORMAL, "-")}


def draw_choice(
    weights: NDArray[np.floating],
    chosen: Sequence[int],
    spectra: Mapping[str, Spectra | None],
    wavelengths: Wavelengths | None = None,
) -> Figure:
    """Return weights and chosen bands above the mean spectra of the classes, over wavelength.

    Args:
        weights: (c,), which sum to k.
        chosen: the k bands.
        spectra: by class, normal and anomalous, or all; None without pixels.
        wavelengths: (c,) in nm.
    """
    figure, (above, below) = stacked()
    at, title = style.spectral_axis(wavelengths, len(weights))
    width = np.median(np.diff(np.sort(at))) if len(at) > 1 else 1.0
    is_chosen = np.isin(np.arange(len(weights)), list(chosen))
    for flags, colour, label in ((~is_chosen, "0.7", "others"), (is_chosen, style.ANOMALY, "chosen")):
        above.bar(at[flags], weights[flags], width=width, color=colour, label=label)
    above.set_ylim(0, 1.05)
    style.label(above, f"Choice of {len(chosen)} of {len(weights)} bands", "", "weight (no unit)")
    style.legend(above, space_above=False)
    draw_means(below, spectra, at, title, at[is_chosen])
    return figure


def stacked() -> tuple[Figure, tuple[Axes, Axes]]:
    """Return a figure of two axes, one above the other, over the same wavelengths."""
    figure, _ = style.panels(1, 1.1)
    figure.clear()
    above = figure.add_subplot(2, 1, 1)
    return figure, (above, figure.add_subplot(2, 1, 2, sharex=above))


def draw_means(
    axes: Axes,
    spectra: Mapping[str, Spectra | None],
    at: NDArray[np.float64],
    title: str,
    marked: NDArray[np.float64],
) -> None:
    """Draw the mean spectrum of each class with ± one standard deviation, and a line at each marked band.

    Args:
        axes: where.
        spectra: by class; None without pixels.
        at: positions of the bands.
        title: what these are.
        marked: positions of the chosen ones.
    """
    order = np.argsort(at, kind="stable")
    for name, one in spectra.items():
        if one is None:
            continue
        colour, stroke = _CLASSES[name]
        mean, spread = one.mean[order], one.spread[order]
        x, (middle, low, high) = style.broken(at[order], mean, mean - spread, mean + spread)
        axes.plot(x, middle, color=colour, linestyle=stroke, linewidth=2, label=f"{name}, ± 1 std. deviation")
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    for x in marked:
        axes.axvline(x, color="0.35", linewidth=0.8, linestyle=":")
    style.label(axes, "", title, "value (sensor units)")
    style.legend(axes, space_above=False)


def draw_temperatures(
    epochs: NDArray[np.floating], temperatures: NDArray[np.floating], start: float, least: float
) -> Figure:
    """Return the temperature of each epoch, with its first and least value as guides."""
    figure, (axes,) = style.panels(1, 0.8)
    axes.plot(epochs + 1, temperatures, color=style.NORMAL, marker="o", linewidth=2, label="temperature")
    for value, stroke, name in ((start, "--", "T_init"), (least, ":", "T_min")):
        axes.axhline(value, color=style.THRESHOLD, linestyle=stroke, label=f"{name} = {value:g}")
    axes.set_yscale("log")
    _count_epochs(axes)
    style.label(axes, "Temperature of the choice", "epoch", "temperature (no unit)")
    style.legend(axes, space_above=False)
    return figure


def draw_stability(
    epochs: NDArray[np.floating], similarity: NDArray[np.floating], changed: NDArray[np.integer]
) -> Figure:
    """Return Jaccard's similarity of each epoch's choice with the one before, and how many bands changed.

    Args:
        epochs: (e,) from 0, the later of the two.
        similarity: (e,) from 0 to 1.
        changed: (e,) bands that were exchanged.
    """
    figure, (axes,) = style.panels(1, 0.8)
    axes.plot(epochs + 1, similarity, color=style.NORMAL, marker="o", linewidth=2)
    for epoch, value, count in zip(epochs, similarity, changed, strict=True):
        if count:
            axes.annotate(
                str(count), (epoch + 1, value), textcoords="offset points", xytext=(0, 7), ha="center"
            )
    axes.set_ylim(-0.05, 1.15)
    _count_epochs(axes)
    style.label(
        axes, "Stability of the choice (numbers: bands exchanged)", "epoch", "Jaccard similarity (no unit)"
    )
    return figure


def _count_epochs(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_study(
    choices: Mapping[int, Sequence[int]],
    spectra: Mapping[str, Spectra | None],
    wavelengths: Wavelengths | None,
    channels: int,
    sufficient: int | None = None,
) -> Figure:
    """Return the bands of each choice above the mean spectra.

    Args:
        choices: bands by their number k.
        spectra: by class, as in `draw_choice`.
        wavelengths: (c,) in nm.
        channels: c.
        sufficient: the k that is enough; marked.
    """
    figure, (above, below) = stacked()
    at, title = style.spectral_axis(wavelengths, channels)
    for row, (k, bands) in enumerate(choices.items()):
        colour = style.ANOMALY if k == sufficient else style.NORMAL
        above.scatter(at[list(bands)], np.full(len(bands), row), marker="|", s=220, color=colour, linewidth=2)
    above.set_yticks(range(len(choices)), [f"{k} (enough)" if k == sufficient else str(k) for k in choices])
    above.set_ylim(-0.6, len(choices) - 0.4)
    style.label(above, "Chosen bands", "", "number of bands")
    draw_means(below, spectra, at, title, at[[] if sufficient is None else list(choices[sufficient])])
    return figure
