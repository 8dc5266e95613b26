"""Colour composites: three bands or components shown as red, green and blue."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cuvis_ai.training.visualizations.drawing import style

Image = NDArray[np.float64]
"""(h, w, 3), each in [0, 1]."""
Wavelengths = Sequence[float] | NDArray[np.floating]

RED_GREEN_BLUE = (640.0, 550.0, 460.0)
"""Wavelengths in nm that stand for the three colours."""
_NEAR_NM = 40.0


class ColourChannels(NamedTuple):
    """The three bands that are shown as colours."""

    indices: tuple[int, int, int]
    """Positions, from 0, for red, green and blue."""
    title: str
    """How a picture names them."""


def colour_bands(n_bands: int, wavelengths: Wavelengths | None) -> ColourChannels:
    """Return the bands nearest to red, green and blue; evenly spaced ones where these are not measured."""
    if wavelengths is not None and len(wavelengths) == n_bands:
        centres = np.asarray(wavelengths, dtype=np.float64)
        distance = np.abs(centres[None, :] - np.asarray(RED_GREEN_BLUE)[:, None])
        nearest = distance.argmin(axis=1)
        if distance.min(axis=1).max() <= _NEAR_NM and len(set(nearest)) == 3:
            red, green, blue = (int(i) for i in nearest)
            nm = ", ".join(f"{centres[i]:.0f}" for i in nearest)
            return ColourChannels((red, green, blue), f"True colour ({nm} nm)")
    red, green, blue = (min(round((n_bands - 1) * share), n_bands - 1) for share in (5 / 6, 3 / 6, 1 / 6))
    return ColourChannels((red, green, blue), f"False colour (bands {red}, {green}, {blue})")


def stretched(channels: NDArray[np.floating], lower: float = 2.0, upper: float = 98.0) -> Image:
    """Return each channel of (h, w, k) between two of its percentiles as [0, 1]; k = 1, 2 or 3.

    A single channel becomes grey, two become red and green. Pixels with a non-finite channel become
    light grey.
    """
    values = np.asarray(channels, dtype=np.float64)
    if values.shape[2] == 1:
        values = values.repeat(3, axis=2)
    elif values.shape[2] == 2:
        values = np.pad(values, ((0, 0), (0, 0), (0, 1)))
    finite = np.isfinite(values).all(axis=2)
    image = np.full(values.shape, style.NO_DATA)
    if finite.any():
        low, high = np.percentile(values[finite], (lower, upper), axis=0)
        span = np.where(high > low, high - low, 1.0)
        image[finite] = ((values[finite] - low) / span).clip(0.0, 1.0)
    return image


def composite(cube: NDArray[np.floating], wavelengths: Wavelengths | None) -> tuple[Image, str]:
    """Return a cube (h, w, c) in three of its bands as an image, and the title that names them.

    Example:
        >>> image, title = composite(np.random.default_rng(0).random((6, 5, 4)), [450.0, 550.0, 650.0, 850.0])
        >>> image.shape, title
        ((6, 5, 3), 'True colour (650, 550, 450 nm)')
    """
    indices, title = colour_bands(cube.shape[2], wavelengths)
    return stretched(cube[..., list(indices)]), title


def marked(image: Image, mask: NDArray[np.bool_]) -> Image:
    """Return the image in pale grey with the mask's pixels in the colour of anomalies."""
    grey: Image = 0.45 + 0.5 * image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    grey[mask] = to_rgb(style.ANOMALY)
    return grey


def draw_overview(
    cube: NDArray[np.floating],
    scores: NDArray[np.floating],
    mask: NDArray[np.bool_] | None = None,
    wavelengths: Wavelengths | None = None,
) -> Figure:
    """Return a cube in colour, its first three components as false colour, and the true mask, side by side.

    Args:
        cube: (h, w, c).
        scores: (h, w, k); the first three components are shown.
        mask: (h, w), True = anomaly; None leaves the third panel out.
        wavelengths: (c,) in nm.

    Example:
        >>> random = np.random.default_rng(0)
        >>> figure = draw_overview(
        ...     random.random((6, 5, 4)), random.random((6, 5, 3)), np.eye(6, 5, dtype=bool)
        ... )
        >>> [axes.get_title() for axes in figure.axes]
        ['False colour (bands 2, 2, 0)', 'Components 1–3 (red, green, blue)', 'True anomalies']
    """
    return draw_scene(*composite(cube, wavelengths), scores, mask)


def draw_scene(
    image: Image,
    title: str,
    scores: NDArray[np.floating],
    mask: NDArray[np.bool_] | None = None,
    name: str = "",
) -> Figure:
    """Return what `draw_overview` does, of a scene that is an image already.

    Args:
        image: (h, w, 3).
        title: what its colours are.
        scores: (h, w, k).
        mask: (h, w), True = anomaly; None leaves the third panel out.
        name: the scene's, written above all.
    """
    height, width = image.shape[:2]
    figure, axes = style.panels(2 if mask is None else 3, height / width, images=True)
    style.name(figure, name)
    axes[0].imshow(image, interpolation="nearest")
    style.image_axes(axes[0], title)
    n = min(scores.shape[2], 3)
    listed = {1: "Component 1", 2: "Components 1, 2 (red, green)"}.get(n, "Components 1–3 (red, green, blue)")
    axes[1].imshow(stretched(scores[..., :n]), interpolation="nearest")
    style.image_axes(axes[1], listed, left=False)
    if mask is not None:
        truth = np.asarray(mask, dtype=bool)
        axes[2].imshow(marked(image, truth), interpolation="nearest")
        style.image_axes(axes[2], "True anomalies", left=False)
        counted = f"anomalous: {int(truth.sum())} of {truth.size} pixels"
        style.legend_below(figure, [Patch(color=style.ANOMALY, label=counted)])
    return figure
