"""The evaluation of many scenes: by a graph, or of score maps that were written before."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.data.mask_sources import MaskSource
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.functional.detection import at_false_alarm_rate
from cuvis_ai.functional.regions import region_sizes
from cuvis_ai.pipeline.evaluation.bootstrap import intervals
from cuvis_ai.pipeline.evaluation.measures import Measures, measured
from cuvis_ai.pipeline.prediction.pixel_progress import Advance, pixel_progress
from cuvis_ai.stats import ScoreDistribution

logger = logging.getLogger(__name__)

STORED = "stored"
"""Name of the threshold that a graph stores, or that the user gives in its place."""


def rate_name(rate: float) -> str:
    """Return the name of the threshold above which that share of the normal pixels is."""
    return f"rate_{rate:g}"


Strips = Iterable[tuple[Window, NDArray[np.float32]]]
"""Windows of rows from the top to the bottom of a scene, and their scores (h, w, 1), NaN where invalid."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredScene:
    """A scene whose scores can be had strip by strip."""

    name: str
    size: tuple[int, int]
    """(h, w)."""
    strips: Callable[[], Strips]
    """Begins with the first strip, each time it is called."""
    mask: MaskSource
    """The truth."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneEvaluation:
    """What scenes' scores are worth."""

    thresholds: Mapping[str, float]
    """`stored`, if there is one; and `rate_<rate>`, above which that share of all normal pixels is."""
    pooled: Measures
    """Of the pixels of all scenes together."""
    scenes: tuple[Measures, ...]
    """Of each scene, at the same thresholds; its detection rates are those of its own normal pixels."""
    intervals: Mapping[str, tuple[float, float]]
    """95 % intervals of the pooled values, by bootstrap over scenes; none of a single scene."""
    scores: ScoreDistribution
    """Of the pixels of all scenes, for curves."""


def evaluated(
    scenes: Sequence[ScoredScene], threshold: float | None, false_alarm_rates: Sequence[float]
) -> SceneEvaluation:
    """Return the measures of scenes, pooled and of each.

    Memory holds one scene's mask and anomalies, and distributions of scores: exact to 2^22 pixels of all
    scenes together, and to that number divided by the number of scenes in each of them; beyond, as
    `ScoreDistribution` says.

    Args:
        scenes: the scenes.
        threshold: the graph's; None: it has none.
        false_alarm_rates: shares of the normal pixels of all scenes at which to measure, too.

    Raises:
        ConfigError: a rate that is no share.
        GraphError: no pixel counts.
    """
    for rate in false_alarm_rates:
        if not 0 < rate < 1:
            raise ConfigError(f"evaluate: expected false-alarm rates between 0 and 1, got {rate:g}.")
    pooled, own = ScoreDistribution(), []
    with pixel_progress(len(scenes), sum(h * w for h, w in (scene.size for scene in scenes))) as advance:
        for scene in scenes:
            scores = _distribution(scene, advance)
            pooled = pooled.merge(scores)
            held = ScoreDistribution(
                exact_limit=pooled.exact_limit // len(scenes), bins=max(1024, pooled.bins // len(scenes))
            )
            own.append(held.merge(scores))
            logger.info("%s: %d pixels", scene.name, scores.count)
            advance(0, 1)
    if pooled.count == 0:
        raise GraphError("evaluate: expected at least one pixel with a score and a label, got none.")
    curve = pooled.curve()
    thresholds = {} if threshold is None else {STORED: threshold}
    for rate in false_alarm_rates:
        if (point := at_false_alarm_rate(curve, rate)) is not None:
            thresholds[rate_name(rate)] = point.threshold
    measures = [measured(scene.name, scores, thresholds) for scene, scores in zip(scenes, own, strict=True)]
    return SceneEvaluation(
        thresholds=thresholds,
        pooled=measured("pooled", pooled, thresholds),
        scenes=tuple(measures),
        intervals=intervals(own, measures),
        scores=pooled,
    )


def _distribution(scene: ScoredScene, advance: Advance) -> ScoreDistribution:
    """The distribution of a scene's scores, its anomalies weighed by the sizes of their regions."""
    mask = scene.mask(scene.size)
    if mask.shape != scene.size:
        raise GraphError(
            f"{scene.name}: expected a mask of the scene's {scene.size[0]}x{scene.size[1]} pixels, got shape "
            f"{mask.shape}. Name the mask that was drawn on it."
        )
    truth, unknown = np.ma.getdata(mask).astype(bool), np.ma.getmaskarray(mask)
    found = ScoreDistribution()
    rare, places = [np.empty(0, np.float32)], [np.empty((0, 2), np.int64)]
    for window, strip in scene.strips():
        scores, anomalous = strip[..., 0], truth[window.slices]
        counted = np.isfinite(scores) & ~unknown[window.slices]
        found.update(torch.from_numpy(scores[counted & ~anomalous])[:, None])
        rare.append(scores[counted & anomalous])
        places.append(np.argwhere(counted & anomalous) + np.array([window.top, window.left]))
        advance(scores.size, 0)
    if any(map(len, rare)):
        # A region may lie in several strips, so that its size is known at the end.
        weights = torch.from_numpy(1.0 / region_sizes(np.concatenate(places)))
        found.update(torch.from_numpy(np.concatenate(rare))[:, None], None, weights)
    return found
