"""Intervals of measures by bootstrap over scenes.

Pixels of a scene resemble each other, so scenes are drawn, not pixels: an interval says how far a measure
would move with other scenes of the same kind.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray

from cuvis_ai.functional.detection import Confusion, Curve
from cuvis_ai.pipeline.evaluation.measures import Measures, at_thresholds, over_thresholds
from cuvis_ai.stats import ScoreDistribution

RESAMPLES = 1000
"""Times that as many scenes as there are, are drawn with replacement."""

COVERAGE = 0.95
"""The share of the resamples' values that lie in an interval, from quantile to quantile."""

_BINS = 1024
"""Bins of the pooled scores, whose bounds are the thresholds that curves are resampled at."""


def intervals(
    scores: Sequence[ScoreDistribution], scenes: Sequence[Measures]
) -> dict[str, tuple[float, float]]:
    """Return the interval of each pooled measure, with its thresholds as they are; none for a single scene.

    Resamples in which a measure is not defined, as without an anomaly, are left out of its interval.

    Args:
        scores: of each scene.
        scenes: the measures of each scene, in the same order.
    """
    if len(scenes) < 2:
        return {}
    pooled = reduce(lambda a, b: a.merge(b), scores, ScoreDistribution(exact_limit=0, bins=_BINS))
    thresholds = pooled.curve().thresholds
    curves = [one.curve_at(thresholds) for one in scores]
    sums = {
        field: np.stack([getattr(curve, field).double().numpy() for curve in curves])
        for field in ("tp", "fp", "overlap")
    }
    names = list(scenes[0].confusions)
    confusions = np.array([[scene.confusions[name] for name in names] for scene in scenes])
    drawn = np.random.default_rng(0).multinomial(
        len(scenes), np.full(len(scenes), 1 / len(scenes)), size=RESAMPLES
    )
    values: dict[str, list[float]] = {}
    resampled = {field: drawn @ table for field, table in sums.items()}
    for i, draw in enumerate(drawn):
        tp, fp = (torch.from_numpy(resampled[field][i].round()).long() for field in ("tp", "fp"))
        # At the first point of a curve nothing is predicted, at the others something.
        first = int((tp + fp == 0).sum()) - 1
        overlap = torch.from_numpy(resampled["overlap"][i])
        curve = Curve(*(column[first:] for column in (thresholds, tp, fp, overlap)))
        counts = np.tensordot(draw, confusions, axes=1)
        at = {name: Confusion(*map(int, row)) for name, row in zip(names, counts, strict=True)}
        for name, value in {**over_thresholds(curve), **at_thresholds(at)}.items():
            if value is not None:
                values.setdefault(name, []).append(value)
    return {name: _middle(np.array(found)) for name, found in values.items()}


def _middle(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
