"""Pictures of nodes that give one score a pixel."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf.bases import Leaf, Picture, Read, View, Visualization
from cuvis_ai.node.base import Node, require
from cuvis_ai.stats import ChannelMoments, ScoreDistribution, update_all
from cuvis_ai.training.visualizations.collected import (
    SceneChoice,
    classes_of,
    collect_scores,
    counts_of,
    quality_of,
)
from cuvis_ai.training.visualizations.drawing.curves import draw_precision_recall
from cuvis_ai.training.visualizations.drawing.histograms import draw_heatmap, draw_histogram, scale_of


class AnomalyHeatmap(Visualization):
    """Scores of one cube, their overlay on the scene, and what is detected beside the truth.

    Detected is a pixel whose score exceeds mean + threshold_multiplier · standard deviation of all
    scores of the epoch.

    Args:
        colormap: a name that Matplotlib knows; the default reads alike with every kind of colour vision.
        vmin: score at the scale's lower end; None for the cube's 2nd percentile.
        vmax: score at its upper end; None for the cube's 99.5th percentile.
        threshold_multiplier: standard deviations above the mean.
        log_frequency: draws in every n-th validation epoch; 1 or more.
    """

    def __init__(
        self,
        colormap: str = "inferno",
        vmin: float | None = None,
        vmax: float | None = None,
        threshold_multiplier: float = 2.0,
        *,
        log_frequency: int = 1,
    ) -> None:
        ordered = vmin is None or vmax is None or vmin < vmax
        require(ordered, "AnomalyHeatmap: vmin", f"below vmax={vmax}", vmin)
        super().__init__(log_frequency)
        self.colormap = colormap
        self.vmin = vmin
        self.vmax = vmax
        self.threshold_multiplier = threshold_multiplier
        self.reset()

    def check_parent(self, parent: Node, channels: int | None) -> None:
        """The parent gives one score a pixel."""
        _check_scores(self, parent, channels)

    def reads(self) -> frozenset[Read]:
        """Scores."""
        return frozenset({Read.OUTPUT})

    def reset(self) -> None:
        """Forget what was collected."""
        self._scene = SceneChoice()
        self._moments = ChannelMoments()

    def collect(self, view: View, batch: Mapping[str, Any]) -> None:
        """Take in the scores' moments, and a cube."""
        scores = view[Read.OUTPUT]
        classes = classes_of(view, batch, scores)
        update_all([self._moments], pixels_of(scores), classes.normal | classes.anomalous)
        self._scene.offer(scores, view, batch)

    def draw(self) -> list[Picture]:
        """Return `heatmap`."""
        scene, moments = self._scene.chosen, self._moments
        if scene is None or moments.count < 2:
            return []
        threshold = float(moments.mean + self.threshold_multiplier * moments.variance().sqrt())
        scores = scene.values[..., 0]
        scale = scale_of(scores, self.colormap, self.vmin, self.vmax)
        figure = draw_heatmap(
            scores, scene.image, scene.title, threshold=threshold, scale=scale, mask=scene.mask
        )
        return [Picture("heatmap", figure, {**scene.arrays(), "threshold": np.asarray(threshold)})]


class ScoreHistogram(Visualization):
    """How often each score occurs, among normal and among anomalous pixels (`histogram`).

    Args:
        bins: number of bins; 1 or more.
        compute_threshold: whether mean + threshold_multiplier · standard deviation is drawn.
        threshold_multiplier: standard deviations above the mean.
        log_frequency: draws in every n-th validation epoch; 1 or more.
    """

    def __init__(
        self,
        bins: int = 100,
        compute_threshold: bool = True,
        threshold_multiplier: float = 2.0,
        *,
        log_frequency: int = 1,
    ) -> None:
        require(bins >= 1, "ScoreHistogram: bins", "1 or more", bins)
        super().__init__(log_frequency)
        self.bins = bins
        self.compute_threshold = compute_threshold
        self.threshold_multiplier = threshold_multiplier
        self.reset()

    def check_parent(self, parent: Node, channels: int | None) -> None:
        """The parent gives one score a pixel."""
        _check_scores(self, parent, channels)

    def reads(self) -> frozenset[Read]:
        """Scores."""
        return frozenset({Read.OUTPUT})

    def reset(self) -> None:
        """Forget what was collected."""
        self._scores = ScoreDistribution()
        self._truth = False

    def collect(self, view: View, batch: Mapping[str, Any]) -> None:
        """Take in the scores."""
        self._truth |= batch.get("mask") is not None
        collect_scores(self._scores, view[Read.OUTPUT], view, batch)

    def draw(self) -> list[Picture]:
        """Return `histogram`."""
        scores, threshold = self._scores, None
        if scores.count == 0:
            return []
        edges, normal, anomalous = counts_of(scores, self.bins)
        drawn = {"edges": edges, "normal": normal, "anomalous": anomalous}
        if self.compute_threshold and scores.count > 1:
            threshold = scores.mean + self.threshold_multiplier * scores.std
            drawn["threshold"] = np.asarray(threshold)
        label = f"mean + {self.threshold_multiplier:g} std. deviations"
        figure = draw_histogram(edges, normal, anomalous if self._truth else None, threshold, label)
        return [Picture("histogram", figure, drawn)]


class PrecisionRecallPlot(Visualization):
    """Precision over recall at all thresholds (`precision_recall`); of batches with a mask.

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.
    """

    def __init__(self, *, log_frequency: int = 1) -> None:
        super().__init__(log_frequency)
        self.reset()

    def check_parent(self, parent: Node, channels: int | None) -> None:
        """The parent gives one score a pixel."""
        _check_scores(self, parent, channels)

    def reads(self) -> frozenset[Read]:
        """Scores."""
        return frozenset({Read.OUTPUT})

    def reset(self) -> None:
        """Forget what was collected."""
        self._scores = ScoreDistribution()

    def collect(self, view: View, batch: Mapping[str, Any]) -> None:
        """Take in the scores of a batch with a mask."""
        if batch.get("mask") is not None:
            collect_scores(self._scores, view[Read.OUTPUT], view, batch)

    def draw(self) -> list[Picture]:
        """Return `precision_recall`; nothing where there is no anomaly."""
        quality = quality_of(self._scores)
        if quality is None:
            return []
        figure = draw_precision_recall(
            quality.recall,
            quality.precision,
            average_precision=quality.average_precision,
            share=quality.share,
            points=(quality.best,),
        )
        drawn = {
            "recall": quality.recall,
            "precision": quality.precision,
            "average_precision": np.asarray(quality.average_precision),
        }
        return [Picture("precision_recall", figure, drawn)]


def _check_scores(leaf: Leaf, parent: Node, channels: int | None) -> None:
    if channels not in (None, 1):
        raise GraphError(
            f"{leaf.label}: expected a parent that gives one score a pixel, such as RXGlobal, got "
            f"{channels} channels from {parent.label}. Pass `parent=` the detector."
        )
