"""Histograms of scores whose bins are the bits of a float32.

The bits of a float32 can be read as an integer that sorts as the value does. A sorted list of such
integers with a count each is the exact distribution; dropping their low bits makes it coarser, with
bins of nearly equal relative width whatever the scale of the scores.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WEIGHT_UNIT = 2.0**-40
"""Weights are whole multiples of this, so that float64 adds them without rounding, in any order."""

Keys = NDArray[np.int32]
"""Sortable integers, after their low bits are dropped."""


class Histogram(NamedTuple):
    """Sorted distinct keys, and for each the sum of what fell on it."""

    keys: Keys
    sums: NDArray[np.float64]
    """Pixels or weights; float64 adds up to 2^53 of the first and 2^13 of the second exactly."""


EMPTY = Histogram(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float64))
"""The histogram of no pixel."""


def sortable(scores: NDArray[np.float32]) -> Keys:
    """Return integers of the same order as the scores; −0 and 0 are equal."""
    bits = (scores + np.float32(0.0)).view(np.int32)
    return np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)


def tied(keys: Keys) -> Keys:
    """Return the keys with those tied that differ in their last 6 bits alone, by up to 8e-6 of the score.

    Equal spectra can differ by so much where a device computes them in batches of different sizes.
    """
    return keys & ~np.int32(63)


def scores_of(keys: Keys) -> NDArray[np.float64]:
    """Return the scores whose sortable integers these are."""
    bits = np.where(keys < 0, keys ^ np.int32(0x7FFFFFFF), keys)
    return bits.view(np.float32).astype(np.float64)


def histograms_by_class(keys: Keys, weights: NDArray[np.float64]) -> tuple[Histogram, Histogram, Histogram]:
    """Return the histograms of normal pixels, of anomalous pixels and of the latter's weights.

    Args:
        keys: one a pixel, in any order.
        weights: one a pixel; above 0 for an anomaly.
    """
    anomalous = weights > 0
    normal, rare = keys[~anomalous], keys[anomalous]
    order = np.argsort(rare)
    rare = rare[order]
    rounded = np.rint(weights[anomalous][order] / WEIGHT_UNIT) * WEIGHT_UNIT
    return _grouped(np.sort(normal)), _grouped(rare), _grouped(rare, rounded)


def merged(one: Histogram, other: Histogram) -> Histogram:
    """Return the sum of two histograms of the same resolution."""
    keys = np.concatenate([one.keys, other.keys])
    # Stable means Timsort here, which merges sorted stretches in linear time.
    order = np.argsort(keys, kind="stable")
    return _grouped(keys[order], np.concatenate([one.sums, other.sums])[order])


def coarser(histogram: Histogram, drop: int) -> Histogram:
    """Return the histogram with that many low bits dropped from its keys."""
    return _grouped(histogram.keys >> drop, histogram.sums) if drop else histogram


def sums_from_above(histogram: Histogram, keys: Keys) -> NDArray[np.float64]:
    """Return, for each of `keys` from the highest down, the sum at that key and above; 0 before the first.

    Args:
        histogram: its keys are among `keys`.
        keys: (m,), sorted and distinct; the result has m + 1 entries.
    """
    sums = np.zeros(len(keys) + 1)
    sums[1 + np.searchsorted(keys, histogram.keys)] = histogram.sums
    sums[1:] = np.cumsum(sums[:0:-1])
    return sums


def _grouped(keys: Keys, amounts: NDArray[np.float64] | None = None) -> Histogram:
    """The histogram of sorted keys; an amount is 1 unless given."""
    if len(keys) == 0:
        return EMPTY
    first = np.diff(keys, prepend=~keys[0]) != 0
    sums = np.bincount(np.cumsum(first) - 1, weights=amounts)
    return Histogram(keys[first], sums.astype(np.float64, copy=False))
