"""Thresholds from the distribution of scores alone."""

import math

from cuvis_ai.errors import ConfigError

TAIL_SHARE = 0.1
"""The share of the scores, the highest, to which an exponential tail is fitted."""


def above_mean(mean: float, std: float, multiplier: float) -> float:
    """Return mean + multiplier · std; the mean where the deviation of a single score is not defined (NaN).

    Example:
        >>> above_mean(mean=10.0, std=2.0, multiplier=3.0)
        16.0
    """
    return mean + multiplier * (0.0 if math.isnan(std) else std)


def tail_threshold(false_alarm_rate: float) -> float:
    """Return the calibrated score above which a share of the pixels is, ln(.1 / rate); for rates below .1.

    Raises:
        ConfigError: another rate.

    Example:
        >>> round(tail_threshold(1e-3), 3)
        4.605
    """
    if not 0 < false_alarm_rate < TAIL_SHARE:
        raise ConfigError(
            f"false-alarm rate: expected above 0 and below {TAIL_SHARE:g}, where the tail is fitted, got "
            f"{false_alarm_rate:g}. Pass a threshold for larger ones."
        )
    return math.log(TAIL_SHARE / false_alarm_rate)
