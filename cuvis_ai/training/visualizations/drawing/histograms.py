"""Pictures of scores: where they are high, and how they are distributed."""

from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cuvis_ai.training.visualizations.drawing import style
from cuvis_ai.training.visualizations.drawing.composite import Image, marked


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Which score gets which colour.

    Attributes:
        colormap: a name that Matplotlib knows.
        vmin, vmax: scores at its ends.
    """

    colormap: str
    vmin: float
    vmax: float


def scale_of(
    scores: NDArray[np.floating], colormap: str, vmin: float | None = None, vmax: float | None = None
) -> Scale:
    """Return a scale; its ends, where None, are the 2nd and the 99.5th percentile, against outliers.

    Example:
        >>> scale = scale_of(np.arange(201.0), "inferno")
        >>> float(scale.vmin), float(scale.vmax)
        (4.0, 199.0)
    """
    finite = scores[np.isfinite(scores)]
    low, high = np.percentile(finite, (2.0, 99.5)) if finite.size else (0.0, 1.0)
    low, high = (low if vmin is None else vmin), (high if vmax is None else vmax)
    return Scale(colormap=colormap, vmin=float(low), vmax=float(high if high > low else low + 1.0))


def overlay(image: Image, scores: NDArray[np.floating], scale: Scale) -> Image:
    """Return the image with scores laid over it, the more opaque the higher; none where not finite."""
    share = ((scores - scale.vmin) / (scale.vmax - scale.vmin)).clip(0.0, 1.0)
    share = np.where(np.isfinite(share), share, 0.0)
    colours = np.asarray(colormaps[scale.colormap](share))[..., :3]
    opacity = share[..., None]
    blended: Image = (1.0 - opacity) * image + opacity * colours
    return blended


def draw_heatmap(
    scores: NDArray[np.floating],
    image: Image,
    image_title: str,
    *,
    threshold: float,
    scale: Scale,
    mask: NDArray[np.bool_] | None = None,
    name: str = "",
) -> Figure:
    """Return scores, their overlay on the scene, and what is above the threshold beside the truth.

    Args:
        scores: (h, w); NaN where there are no data.
        image: (h, w, 3), the scene in colour.
        image_title: what its colours are.
        threshold: scores above it count as detected.
        scale: the colours of scores.
        mask: (h, w), True = anomaly; None leaves the fourth panel out.
        name: the scene's, written above all.

    Example:
        >>> scores = np.array([[0.0, 1.0], [2.0, 9.0]])
        >>> scale = scale_of(scores, "inferno")
        >>> figure = draw_heatmap(scores, np.zeros((2, 2, 3)), "True colour", threshold=5.0, scale=scale)
        >>> figure.axes[0].get_title()
        'Scores'
    """
    height, width = scores.shape
    n = 3 if mask is None else 4
    figure, axes = style.panels(n, height / width, images=True)
    style.name(figure, name)
    colormap = colormaps[scale.colormap].with_extremes(bad=style.NO_DATA)
    shown = axes[0].imshow(scores, cmap=colormap, vmin=scale.vmin, vmax=scale.vmax, interpolation="nearest")
    finite = scores[np.isfinite(scores)]
    ends = {"below": bool((finite < scale.vmin).any()), "above": bool((finite > scale.vmax).any())}
    style.colour_bar(figure, shown, axes[0], "score", **ends)
    style.image_axes(axes[0], "Scores", bottom=n == 3)
    axes[1].imshow(overlay(image, scores, scale), interpolation="nearest")
    style.image_axes(axes[1], f"Scores on the scene\n{image_title}", left=False, bottom=n == 3)
    detected = np.nan_to_num(scores, nan=-np.inf) > threshold
    axes[2].imshow(marked(image, detected), interpolation="nearest")
    style.image_axes(axes[2], f"Detected: score > {threshold:.3g}", left=n == 4)
    counts = f"{detected.sum()} pixels detected"
    if mask is not None:
        axes[3].imshow(marked(image, mask), interpolation="nearest")
        style.image_axes(axes[3], "True anomalies", left=False)
        counts += f", {mask.sum()} true, {(mask & detected).sum()} of them detected"
    style.legend_below(figure, [Patch(color=style.ANOMALY, label=counts)])
    return figure


def bin_edges(low: float, median: float, high: float, bins: int) -> NDArray[np.float64]:
    """Return edges of equal width; of equal ratio where scores are positive with a long tail."""
    if low > 0 and high > 20 * median:
        return np.geomspace(low, high, bins + 1)
    return np.linspace(low, high if high > low else low + 1.0, bins + 1)


def draw_histogram(
    edges: NDArray[np.floating],
    normal: NDArray[np.integer],
    anomalous: NDArray[np.integer] | None = None,
    threshold: float | None = None,
    threshold_label: str = "threshold",
) -> Figure:
    """Return how many pixels have which score, on a logarithmic axis, so that rare ones show.

    Args:
        edges: (n + 1,) limits of the bins; a constant ratio makes the axis of scores logarithmic.
        normal: (n,) normal pixels a bin; all pixels where the truth is not known.
        anomalous: (n,) anomalous pixels a bin.
        threshold: drawn as a line.
        threshold_label: how the legend explains it.
    """
    figure, (axes,) = style.panels(1, 0.8)
    known = anomalous is not None
    title = f"normal ({normal.sum()} pixels)" if known else f"all ({normal.sum()} pixels)"
    axes.stairs(normal, edges, fill=True, color=style.NORMAL, alpha=0.55, label=title, baseline=0.5)
    if anomalous is not None:
        label = f"anomalous ({anomalous.sum()} pixels)"
        axes.stairs(anomalous, edges, color=style.ANOMALY, linewidth=2.5, label=label, baseline=0.5)
    if threshold is not None:
        label = f"{threshold_label} = {threshold:.3g}"
        axes.axvline(threshold, color=style.THRESHOLD, linestyle="--", linewidth=2, label=label)
    axes.set_yscale("log")
    # A third of the height is left for the legend.
    axes.set_ylim(0.5, 2 * max(int(normal.max(initial=1)), 1) ** 1.5)
    ratios = edges[1:] / edges[:-1] if (edges > 0).all() else None
    if ratios is not None and len(ratios) > 1 and np.allclose(ratios, ratios[0]):
        axes.set_xscale("log")
    style.label(axes, "Distribution of scores", "score", "pixels per bin")
    style.legend(axes)
    return figure
