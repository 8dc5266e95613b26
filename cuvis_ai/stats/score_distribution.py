"""The distribution of scores by class, for detection metrics and quantiles."""

from collections.abc import Iterable
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.functional.detection import Confusion, Curve
from cuvis_ai.stats.extrema import Extrema
from cuvis_ai.stats.moments import ChannelMoments
from cuvis_ai.stats.score_counts import (
    EMPTY,
    Histogram,
    Keys,
    coarser,
    histograms_by_class,
    merged,
    scores_of,
    sortable,
    sums_from_above,
    tied,
)
from cuvis_ai.stats.sketch import PixelFlags, PixelTruth, Sketch, Structure
from cuvis_ai.types import PixelMatrix

CHUNK = 2**20
"""Pixels that are sorted together: many enough that merging them into the bins costs little."""


class ScoreDistribution(Sketch):
    """How often each score occurs among normal and among anomalous pixels; channels: 1.

    Scores are taken as float32; those that are not finite, or not `valid`, are passed over. `truth`
    gives each pixel's region weight (`functional.regions.region_weights`): 0 for a normal pixel, 1 /
    size of its region for an anomalous one. Flags count as weight 1. Without it all are normal.

    Up to `exact_limit` pixels every score is kept. Beyond it, as many low bits of the scores' sortable
    integers are dropped as leave at most `bins` keys, those of normal and those of anomalous pixels
    together; at least half of `bins` are then in use. How many bits depends on the set of scores
    alone, since at a given resolution more pixels never occupy fewer bins: counts, and what follows
    from them, are the same to the last bit for any batch size, order, split or number of ranks. Mean
    and deviation are exact to rounding, extrema exact, at any count. Kept are at most `exact_limit`
    keys, or `bins`, of 12 bytes each (24 for anomalies), and up to 2^20 pixels that wait to be sorted.

    Scores that a GPU computed are counted without their last 6 bits, by which equal spectra can differ
    there: within that, most are tied. Mean, deviation and extrema are not affected.

    Bins are of equal width in bits, that is of nearly equal relative width. Where more than `bins` / 2
    scores are scattered over hundreds of octaves while nearly all others differ in their last bits
    only, those others share few bins.

    Args:
        exact_limit: pixels up to which nothing is rounded.
        bins: keys kept beyond it, 4 or more.

    Attributes:
        truth_known: whether some pixels came with their truth, be their scores finite or not.

    Example:
        >>> scores = ScoreDistribution()
        >>> scores.update(
        ...     torch.tensor([[0.0], [1.0], [2.0], [3.0]]), truth=torch.tensor([False, False, False, True])
        ... )
        >>> scores.quantile(0.5), scores.confusion(threshold=1.5)
        (1.5, Confusion(tp=1, fp=1, fn=0, tn=2))
    """

    carried_by: ClassVar[Structure] = Structure.NOTHING
    divisible: ClassVar[bool] = False
    weighs_regions: ClassVar[bool] = True

    def __init__(self, *, exact_limit: int = 2**22, bins: int = 2**20) -> None:
        if bins < 4:
            raise ConfigError(f"ScoreDistribution: bins: expected 4 or more, got {bins}.")
        self.exact_limit = exact_limit
        self.bins = bins
        self._moments = ChannelMoments()
        self._extrema = Extrema()
        self._dropped = 0
        # Of normal pixels, of anomalous pixels, and of the latter's region weights.
        self._histograms: tuple[Histogram, ...] = (EMPTY, EMPTY, EMPTY)
        # Scores and region weights that are not sorted yet.
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self.truth_known = False

    @property
    @override
    def count(self) -> int:
        self._settle()
        return self._moments.count

    @property
    @override
    def channels(self) -> int:
        return min(self.count, 1)

    @property
    def mean(self) -> float:
        """The mean of all scores; NaN without any."""
        return float(self._moments.mean) if self.count else float("nan")

    @property
    def std(self) -> float:
        """The standard deviation of all scores with ddof = 1; NaN for fewer than two."""
        return float(self._moments.variance(ddof=1).sqrt()) if self.count > 1 else float("nan")

    @property
    def low(self) -> float:
        """The least score; NaN without any."""
        return float(self._extrema.low) if self.count else float("nan")

    @property
    def high(self) -> float:
        """The greatest score; NaN without any."""
        return float(self._extrema.high) if self.count else float("nan")

    def update(
        self, pixels: PixelMatrix, valid: PixelFlags | None = None, truth: PixelTruth | None = None
    ) -> None:
        """Take in scores (n, 1)."""
        if pixels.shape[1] != 1:
            raise GraphError(
                f"score distribution: expected 1 channel, got {pixels.shape[1]} in pixels "
                f"{tuple(pixels.shape)}. Connect a node that gives one score a pixel, such as RXGlobal."
            )
        self.truth_known = self.truth_known or truth is not None
        scores = pixels.detach()[:, 0]
        scores = scores.clone() if valid is None else torch.where(valid, scores, torch.nan)
        weights = torch.zeros(len(scores)) if truth is None else truth.detach().clone()
        self._waiting.append((scores, weights))
        if sum(len(scores) for scores, _ in self._waiting) >= CHUNK:
            self._settle()

    def _settle(self) -> None:
        """Sort what waits into the bins; on a device this is where it is copied."""
        if not self._waiting:
            return
        of_device = not all(scores.is_cpu for scores, _ in self._waiting)
        scores = torch.cat([scores.cpu().float() for scores, _ in self._waiting])
        weights = torch.cat([weights.cpu().double() for _, weights in self._waiting])
        self._waiting = []
        for part, weight in zip(scores.split(CHUNK), weights.split(CHUNK), strict=True):
            finite = torch.isfinite(part)
            usable = part[finite]
            self._moments.update(usable[:, None])
            self._extrema.update(usable[:, None])
            keys = sortable(usable.numpy())
            keys = (tied(keys) if of_device else keys) >> self._dropped
            self._absorb(histograms_by_class(keys, weight[finite].numpy()))

    def _absorb(self, histograms: Iterable[Histogram]) -> None:
        """Add histograms of this resolution, then coarsen as far as needed."""
        self._histograms = tuple(map(merged, self._histograms, histograms))
        if self._moments.count > self.exact_limit:
            while sum(len(histogram.keys) for histogram in self._histograms[:2]) > self.bins:
                self._histograms = tuple(coarser(histogram, 1) for histogram in self._histograms)
                self._dropped += 1

    @override
    def merge(self, other: Self) -> Self:
        whole, other = copy(self), copy(other)  # in which nothing waits
        whole._moments = whole._moments.merge(other._moments)
        whole._extrema = whole._extrema.merge(other._extrema)
        whole.truth_known = self.truth_known or other.truth_known
        whole._dropped = max(self._dropped, other._dropped)
        whole._histograms = tuple(coarser(x, whole._dropped - self._dropped) for x in self._histograms)
        whole._absorb(coarser(x, whole._dropped - other._dropped) for x in other._histograms)
        return whole

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy, also one for other ranks, holds: all pixels sorted, none waiting."""
        self._settle()
        return {**vars(self), "_waiting": []}

    def quantile(self, q: float) -> float:
        """Return the score below which a share q of all scores lies; NaN without any.

        Interpolates linearly between the two nearest ranks, as NumPy does by default; beyond
        `exact_limit` pixels a rank's score is interpolated linearly within its bin.

        Args:
            q: from 0 to 1.
        """
        if not 0.0 <= q <= 1.0:
            raise ConfigError(f"ScoreDistribution: q: expected a share from 0 to 1, got {q}.")
        n = self.count
        if n == 0:
            return float("nan")
        everything = merged(*self._histograms[:2])
        upto = np.cumsum(everything.sums)
        position = q * (n - 1)
        rank = int(position)
        below, above = (self._at_rank(everything, upto, r) for r in (rank, min(rank + 1, n - 1)))
        share = position - rank
        # From the nearer end, as NumPy: then both ends are met exactly.
        return below + (above - below) * share if share < 0.5 else above - (above - below) * (1.0 - share)

    def _at_rank(self, everything: Histogram, upto: NDArray[np.float64], rank: int) -> float:
        i = int(np.searchsorted(upto, rank, side="right"))
        low, high = (float(edge[0]) for edge in self._edges(everything.keys[i : i + 1]))
        share = (rank + 0.5 - (upto[i] - everything.sums[i])) / everything.sums[i]
        return float(low + (high - low) * share)

    def _edges(self, keys: Keys) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The least and the greatest score that can have fallen into each bin."""
        ends = sortable(np.array([self.low, self.high], dtype=np.float32))
        first = keys.astype(np.int64) << self._dropped
        last = first + ((1 << self._dropped) - 1)
        low, high = (scores_of(np.clip(edge, *ends).astype(np.int32)) for edge in (first, last))
        return low, high

    def excess(self, low: float, high: float) -> tuple[int, int, float]:
        """Return the number of scores x in (low, high] and of those above, and Σ (x − low) of the former.

        Beyond `exact_limit` pixels each score counts as the middle of its bin.
        """
        self._settle()
        everything = merged(*self._histograms[:2])
        least, most = self._edges(everything.keys)
        scores = (least + most) / 2.0
        between, above = (scores > low) & (scores <= high), scores > high
        excess = float(everything.sums[between] @ (scores[between] - low))
        return int(everything.sums[between].sum()), int(everything.sums[above].sum()), excess

    def confusion(self, threshold: float) -> Confusion:
        """Return the pixels by prediction, score > threshold, and truth.

        Beyond `exact_limit` pixels a bin is predicted as a whole, if its middle is above the
        threshold: exact for the thresholds of `curve`, else to the pixels of one bin.
        """
        point = self.curve_at(torch.tensor([threshold], dtype=torch.float64))
        normal, anomalous = (int(histogram.sums.sum()) for histogram in self._histograms[:2])
        tp, fp = int(point.tp), int(point.fp)
        return Confusion(tp, fp, anomalous - tp, normal - fp)

    def curve_at(self, thresholds: Tensor) -> Curve:
        """Return what is predicted at given thresholds, highest first, each bin by its middle."""
        self._settle()
        wanted = thresholds.double().numpy()
        predicted = []
        for histogram in self._histograms:
            low, high = self._edges(histogram.keys)
            upto = np.concatenate([[0.0], np.cumsum(histogram.sums)])
            below = upto[np.searchsorted((low + high) / 2.0, wanted, side="right")]
            predicted.append(torch.from_numpy(upto[-1] - below))
        tp, fp = (counts.long() for counts in (predicted[1], predicted[0]))
        return Curve(thresholds, tp, fp, predicted[2])

    def curve(self) -> Curve:
        """Return what is predicted at each threshold: one point before, between and after all bins.

        The first threshold is the greatest score, so that nothing is predicted. The others lie midway
        between bins, rounded to float32 such that scores compare with them as they would unrounded.
        Without a pixel there is the first point alone, at NaN.
        """
        self._settle()
        keys = merged(*self._histograms[:2]).keys
        low, high = self._edges(keys)
        with np.errstate(over="ignore"):  # below the least float32 comes −inf
            least = np.nextafter(np.float32(self.low), np.float32(-np.inf))
        under = np.concatenate([[np.float64(least)], high[:-1]])
        middle = (under / 2.0 + low / 2.0).astype(np.float32).astype(np.float64)
        between = np.where(middle < low, middle, under)
        thresholds = torch.from_numpy(np.concatenate([[self.high], between[::-1]]))
        fp, tp, overlap = (
            torch.from_numpy(sums_from_above(histogram, keys)) for histogram in self._histograms
        )
        return Curve(thresholds, tp.long(), fp.long(), overlap)
