"""The picture of the distribution of scores."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from cuvis_ai.functional.thresholds import above_mean
from cuvis_ai.leaf import Observation, Picture, Read, Sketches, Truth, Visualization, needs_score
from cuvis_ai.node.base import Node, require
from cuvis_ai.stats import ScoreDistribution
from cuvis_ai.training.visualizations.drawing.histograms import bin_edges, draw_histogram


class ScoreHistogram(Visualization):
    """How often each score occurs, among normal and among anomalous pixels (`histogram`).

    Args:
        bins: number of bins; 1 or more.
        compute_threshold: whether mean + threshold_multiplier · standard deviation is drawn.
        threshold_multiplier: standard deviations above the mean.
        log_frequency: draws in every n-th validation epoch; 1 or more.
        n_bins: another name of `bins`, which it stands for where it is given.

    Example:
        >>> import torch
        >>> from cuvis_ai.anomaly.rx_detector import RXGlobal
        >>> scores = ScoreDistribution()
        >>> scores.update(
        ...     torch.tensor([[0.0], [0.4], [1.6], [2.0]]), truth=torch.tensor([False, False, False, True])
        ... )
        >>> [picture] = ScoreHistogram(bins=2).draw(RXGlobal(), {"scores": scores})
        >>> picture.data["normal"].tolist(), picture.data["anomalous"].tolist()
        ([2, 1], [0, 1])
    """

    def __init__(
        self,
        bins: int = 100,
        compute_threshold: bool = True,
        threshold_multiplier: float = 2.0,
        *,
        log_frequency: int = 1,
        n_bins: int | None = None,
    ) -> None:
        name, number = ("bins", bins) if n_bins is None else ("n_bins", n_bins)
        require(number >= 1, f"ScoreHistogram: {name}", "1 or more", number)
        super().__init__(log_frequency)
        self.bins = number
        self.n_bins = None  # `bins` holds it
        self.compute_threshold = compute_threshold
        self.threshold_multiplier = threshold_multiplier

    check_parent = needs_score

    @override
    def observes(self) -> Mapping[str, Observation]:
        return {"scores": Observation(Read.OUTPUT, ScoreDistribution, Truth.USED)}

    @override
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        scores: ScoreDistribution = sketches["scores"]
        threshold = None
        if scores.count == 0:
            return []
        counts = counts_of(scores, self.bins)
        drawn = {"edges": counts.edges, "normal": counts.normal, "anomalous": counts.anomalous}
        if self.compute_threshold and scores.count > 1:
            threshold = above_mean(scores.mean, scores.std, self.threshold_multiplier)
            drawn["threshold"] = np.asarray(threshold)
        label = f"mean + {self.threshold_multiplier:g} std. deviations"
        anomalous = counts.anomalous if scores.truth_known else None
        figure = draw_histogram(counts.edges, counts.normal, anomalous, threshold, label)
        return [Picture("histogram", figure, drawn)]


class Counts(NamedTuple):
    """Pixels by score and class."""

    edges: NDArray[np.float64]
    normal: NDArray[np.int64]
    anomalous: NDArray[np.int64]


def counts_of(scores: ScoreDistribution, bins: int) -> Counts:
    """Return how many scores fall into each bin, from the least score to the greatest."""
    edges = bin_edges(scores.low, scores.quantile(0.5), scores.high, bins)
    bounds = torch.tensor([np.inf, *edges[-2:0:-1], -np.inf], dtype=torch.float64)
    above = scores.curve_at(bounds)
    return Counts(edges, *(np.diff(counts.numpy())[::-1] for counts in (above.fp, above.tp)))
