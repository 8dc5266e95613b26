"""Thresholds from the distribution of scores alone."""

import math


def above_mean(mean: float, std: float, multiplier: float) -> float:
    """Return mean + multiplier · std; the mean where the deviation of a single score is not defined (NaN).

    Example:
        >>> above_mean(mean=10.0, std=2.0, multiplier=3.0)
        16.0
    """
    return mean + multiplier * (0.0 if math.isnan(std) else std)
