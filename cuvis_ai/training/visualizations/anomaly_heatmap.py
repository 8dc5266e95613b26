"""The picture of one scene's scores."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from typing_extensions import override

from cuvis_ai.functional.thresholds import above_mean
from cuvis_ai.leaf import Observation, Picture, Read, Sketches, View, Visualization, needs_score
from cuvis_ai.node.base import Node, require
from cuvis_ai.stats import ChannelMoments
from cuvis_ai.training.threshold import stored_threshold
from cuvis_ai.training.visualizations.drawing.histograms import draw_heatmap, scale_of
from cuvis_ai.training.visualizations.scene import SceneChoice


class AnomalyHeatmap(Visualization):
    """Scores of one scene, their overlay on it in colour, and what is detected beside the truth.

    It is the one with the most anomalous pixels in the validation; tiles are put together.

    Detected is a pixel whose score exceeds the parent's own threshold: the probability ½ where it emits
    logits, that of a `TailCalibrator`, or else mean + 2 · standard deviation of all scores of the epoch.

    Args:
        colormap: a name that Matplotlib knows; the default reads alike with every kind of colour vision.
        vmin: score at the scale's lower end; None for the scene's 2nd percentile.
        vmax: score at its upper end; None for the scene's 99.5th percentile.
        threshold_multiplier: k in mean + k · standard deviation, instead of that threshold.
        log_frequency: draws in every n-th validation epoch; 1 or more.

    Example:
        >>> import torch
        >>> from cuvis_ai.anomaly.rx_detector import RXGlobal
        >>> heatmap, rx, moments = AnomalyHeatmap(threshold_multiplier=3.0), RXGlobal(), ChannelMoments()
        >>> scores = torch.tensor([0.0, 2.0, 0.0, 2.0]).view(1, 1, 2, 2)  # mean 1, variance 4/3
        >>> moments.update(scores.view(4, 1))
        >>> heatmap.collect(View(rx, {Read.OUTPUT: scores}), {"cube": torch.rand(1, 5, 2, 2)})
        >>> [picture] = heatmap.draw(rx, {"scores": moments})
        >>> round(float(picture.data["threshold"]), 2)
        4.46
    """

    def __init__(
        self,
        colormap: str = "inferno",
        vmin: float | None = None,
        vmax: float | None = None,
        threshold_multiplier: float | None = None,
        *,
        log_frequency: int = 1,
    ) -> None:
        ordered = vmin is None or vmax is None or vmin < vmax
        require(ordered, "AnomalyHeatmap: vmin", f"below vmax={vmax}", vmin)
        require(colormap in colormaps, "AnomalyHeatmap: colormap", "a name that Matplotlib knows", colormap)
        super().__init__(log_frequency)
        self.colormap = colormap
        self.vmin = vmin
        self.vmax = vmax
        self.threshold_multiplier = threshold_multiplier
        self.reset()

    check_parent = needs_score

    @override
    def observes(self) -> Mapping[str, Observation]:
        return {"scores": Observation(Read.OUTPUT, ChannelMoments)}

    @override
    def reads(self) -> frozenset[Read]:
        return frozenset({Read.OUTPUT})

    @override
    def reset(self) -> None:
        self._scene = SceneChoice()

    @override
    def collect(self, view: View, batch: Mapping[str, Any]) -> None:
        self._scene.offer(view[Read.OUTPUT], view, batch)

    @override
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        scene, moments = self._scene.chosen, sketches["scores"]
        if scene is None or moments.count < 2:
            return []
        threshold = self._threshold(parent, moments)
        scores = scene.values[..., 0]
        scale = scale_of(scores, self.colormap, self.vmin, self.vmax)
        figure = draw_heatmap(
            scores,
            scene.image,
            scene.title,
            threshold=threshold,
            scale=scale,
            mask=scene.mask,
            name=scene.name,
        )
        return [Picture("heatmap", figure, {**scene.arrays(), "threshold": np.asarray(threshold)})]

    def _threshold(self, parent: Node, moments: ChannelMoments) -> float:
        own = 0.0 if parent.emits_logits else stored_threshold(parent, ())
        if own is not None and self.threshold_multiplier is None:
            return own
        k = 2.0 if self.threshold_multiplier is None else self.threshold_multiplier
        return above_mean(float(moments.mean), float(moments.variance().sqrt()), k)
