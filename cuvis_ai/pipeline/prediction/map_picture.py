"""A scene in colour beside its score map, with scale, north and the strongest detections numbered."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cuvis_ai.data.sources.georeference import Georeference
from cuvis_ai.pipeline.prediction.detections import Detection
from cuvis_ai.pipeline.scene_reader import SceneReader
from cuvis_ai.training.visualizations.drawing import style
from cuvis_ai.training.visualizations.drawing.composite import colour_bands, stretched

_SIDE = 1200
"""Pixels of the longer side; larger scenes are subsampled."""
_NUMBERED = 10


def draw_map(
    reader: SceneReader,
    scores: NDArray[np.float32],
    threshold: float | None,
    detections: Sequence[Detection],
) -> Figure:
    """Return a picture of a scene and its scores.

    Args:
        reader: the scene.
        scores: (h, w).
        threshold: where detection begins, marked on the colour scale; None: unknown.
        detections: the strongest first; the first ten are numbered.
    """
    step = max(1, -(-max(scores.shape) // _SIDE))
    kept = reader.bands.kept
    channels = colour_bands(len(kept), reader.bands.wavelengths)
    colours = reader.cube.values[::step, ::step, [int(kept[i]) for i in channels.indices]].astype(np.float64)
    highest = _highest(scores, step)
    colours[~np.isfinite(highest)] = np.nan
    figure, axes = style.panels(2, scores.shape[0] / scores.shape[1], images=True)
    extent = (-0.5, scores.shape[1] - 0.5, scores.shape[0] - 0.5, -0.5)
    axes[0].imshow(stretched(colours), extent=extent, interpolation="nearest")
    style.image_axes(axes[0], channels.title)
    finite = highest[np.isfinite(highest)]
    low, high = np.percentile(finite, (2.0, 99.8)) if len(finite) else (0.0, 1.0)
    axes[1].set_facecolor(style.NO_DATA)
    image = axes[1].imshow(
        highest, extent=extent, interpolation="nearest", cmap="inferno", vmin=low, vmax=max(high, low + 1e-12)
    )
    style.image_axes(axes[1], "Scores", left=False)
    ends = {"below": bool((finite < low).any()), "above": bool((finite > high).any())}
    style.colour_bar(figure, image, axes[1], "score", **ends)
    if threshold is not None and low < threshold < high:
        figure.axes[-1].axhline(threshold, color=style.NORMAL, linewidth=2.0)
    for number, one in reversed([*enumerate(detections[:_NUMBERED], 1)]):  # the strongest on top
        _number(axes, number, one)
    if reader.cube.georeference is not None:
        _scale_and_north(axes[0], reader.cube.georeference, scores.shape[1])
    return figure


def _highest(scores: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Return the highest score of each block of pixels, so that small detections stay visible."""
    if step == 1:
        return np.asarray(scores)
    rows = [
        np.fmax.reduceat(np.fmax.reduce(scores[top : top + step], axis=0), range(0, scores.shape[1], step))
        for top in range(0, scores.shape[0], step)
    ]
    return np.stack(rows)


def _number(axes: Sequence[Axes], number: int, one: Detection) -> None:
    for panel in axes[:2]:
        panel.plot(one.column, one.row, "o", mfc="none", mec=style.ANOMALY, mew=1.2, ms=10)
        panel.annotate(
            str(number), (one.column, one.row), (6.0, 5.0), textcoords="offset points", color="white",
            fontsize=9.0, bbox={"boxstyle": "round,pad=0.15", "fc": style.ANOMALY, "ec": "none"},
            annotation_clip=True,
        )  # fmt: skip


def _scale_and_north(axes: Axes, grid: Georeference, width: int) -> None:
    """Draw a bar of a round length at the lower left, and an arrow to the grid's north above it."""
    side, _ = grid.pixel_size()
    length = _round(width * side / 4)
    style_of: dict[str, Any] = {"transform": axes.transAxes, "color": "white"}
    shadow = {"boxstyle": "round,pad=0.2", "fc": "black", "alpha": 0.5, "ec": "none"}
    share = length / side / width
    axes.plot([0.04, 0.04 + share], [0.05, 0.05], linewidth=3.0, solid_capstyle="butt", **style_of)
    axes.text(
        0.04, 0.08, f"{length:g}" + (" m" if grid.in_metres else ""), fontsize=10.0, bbox=shadow, **style_of
    )
    a, b, _, d, e, _ = grid.transform
    # The step in columns and rows that goes north by one unit of the map.
    column, row = -b / (a * e - b * d), a / (a * e - b * d)
    norm = float(np.hypot(column, row))
    tip = (0.93 + 0.06 * column / norm, 0.08 - 0.06 * row / norm)
    axes.annotate(
        "", tip, (0.93, 0.08), xycoords="axes fraction", arrowprops={"color": "white", "width": 1.5}
    )
    axes.text(tip[0], tip[1] + 0.01, "N", ha="center", fontsize=10.0, bbox=shadow, **style_of)


def _round(length: float) -> float:
    """Return the largest of 1, 2, 5, 10, … that is at most a length."""
    magnitude = 10.0 ** np.floor(np.log10(length))
    return float(next(m * magnitude for m in (5, 2, 1) if m * magnitude <= length))
