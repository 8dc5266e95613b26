"""What is measured of scores with their truth, as values by name."""

from collections.abc import Mapping
from dataclasses import dataclass

from cuvis_ai.functional.detection import (
    Confusion,
    Curve,
    at_false_alarm_rate,
    aupro,
    auroc,
    average_precision,
    f1,
    false_alarm_rate,
    iou,
    precision,
    recall,
)
from cuvis_ai.stats import ScoreDistribution

DETECTION_RATES = (0.01, 0.001)
"""False-alarm rates at which the detection rate is given."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Measures of one scene, or of several together."""

    name: str
    """The scene's, or `pooled`."""
    pixels: int
    """How many pixels count."""
    anomalies: int
    """How many of them are anomalies."""
    confusions: Mapping[str, Confusion]
    """Pixels by prediction and truth, by the name of the threshold."""
    values: Mapping[str, float | None]
    """By name, those of a threshold as `<threshold>/<measure>`; None where something is not defined."""


def measured(name: str, scores: ScoreDistribution, thresholds: Mapping[str, float]) -> Measures:
    """Return the measures of scores.

    `auroc`, `average_precision`, `aupro`, and `detection_rate_at_<rate>`, the greatest share of anomalies
    above a threshold that at most that share of the normal pixels is above; and at each threshold
    `precision`, `recall`, `f1`, `iou` and `false_alarm_rate`. Without anomalies, the last alone is defined.

    Args:
        name: what is measured.
        scores: their distribution.
        thresholds: those that are chosen, by name.
    """
    curve = scores.curve()
    confusions = {key: scores.confusion(threshold) for key, threshold in thresholds.items()}
    return Measures(
        name=name,
        pixels=int(curve.tp[-1] + curve.fp[-1]),
        anomalies=int(curve.tp[-1]),
        confusions=confusions,
        values={**over_thresholds(curve), **at_thresholds(confusions)},
    )


def over_thresholds(curve: Curve) -> dict[str, float | None]:
    """Return the measures that need no threshold."""
    values = {"auroc": auroc(curve), "average_precision": average_precision(curve), "aupro": aupro(curve)}
    for rate in DETECTION_RATES:
        point = at_false_alarm_rate(curve, rate)
        values[f"detection_rate_at_{rate:g}"] = None if point is None else point.detection_rate
    return values


def at_thresholds(confusions: Mapping[str, Confusion]) -> dict[str, float | None]:
    """Return the measures at thresholds."""
    formulas = {"precision": precision, "recall": recall, "f1": f1, "iou": iou}
    values: dict[str, float | None] = {}
    for name, confusion in confusions.items():
        some = confusion.tp + confusion.fn > 0
        values |= {f"{name}/{key}": formula(confusion) if some else None for key, formula in formulas.items()}
        values[f"{name}/false_alarm_rate"] = false_alarm_rate(confusion)
    return values
