"""Anomalies in scenes without labels: the default detector is fitted to them and applied."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Unpack

from cuvis_ai.data.cube import open_cube
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction.graph_prediction import PredictionArguments, settings_of
from cuvis_ai.pipeline.prediction.predictor import SCENE_ERRORS
from cuvis_ai.pipeline.prediction.scene_files import find_scenes
from cuvis_ai.pipeline.prediction.scene_outputs import ScenePrediction
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from cuvis_ai.pipelines import unsupervised
from cuvis_ai.training.config import TrainerConfig, TrainingConfig

logger = logging.getLogger(__name__)


def detect(
    source: str | Path | Iterable[str | Path],
    out: str | Path | None = None,
    *,
    extent: int | str | None = 13,
    n_components: int | None = 32,
    together: bool = False,
    save: str | Path | None = None,
    **options: Unpack[PredictionArguments],
) -> list[ScenePrediction]:
    """Return the anomalies of scenes without labels: each scene is fitted, then scored.

    The detector is `cuvis_ai.pipelines.unsupervised`, whose scores are in units of their tail: a share
    .1 · exp(−t) of the normal pixels is expected above t.

    Args:
        source: scene files, folders, patterns such as "flight/*.hdr", or lists in text files.
        out: folder of the maps; None holds them in memory.
        extent: about 1.5 times the width of the widest target, in pixels, odd; or in metres, as "20m", for
            scenes with a georeference in metres; None for targets of any width.
        n_components: components that are kept at most; None for all, which helps with subpixel targets.
        together: whether one detector is fitted to all scenes, which must be of one sensor.
        save: the zip for the fitted graph of one scene, or of all together.
        options: those of `graph.predict`.

    Raises:
        DatasetNotFoundError: a name names nothing.
        GraphError: scenes that cannot be read or fitted; the others are done.
        ConfigError: values that are impossible.

    Example:
        >>> found = detect("scene.hdr", out="maps", detections=True)
        >>> [(one.row, one.column) for one in found[0].detections]
        [(20.0, 10.0)]
    """
    settings = settings_of(options)
    scenes = find_scenes(source)
    if save is not None and len(scenes) > 1 and not together:
        raise ConfigError(
            f"detect: expected one scene, or all together, for one saved graph, got {len(scenes)} scenes. "
            "Pass --together, or leave --save out."
        )
    groups = [scenes] if together else [[scene] for scene in scenes]
    done, failed = [], {}
    for group in groups:
        try:
            graph = _fitted(group, settings, extent, n_components)
            done += graph.predict(group, out, **options)
        except SCENE_ERRORS as err:
            if len(groups) == 1 or isinstance(err, FileExistsError):
                raise
            failed[group[0]] = err
            logger.warning("%s: %s", group[0], err)
        else:
            if save is not None:
                graph.save_to_file(save)
    if failed:
        reasons = "\n".join(f"  {path}: {err}" for path, err in failed.items())
        raise GraphError(
            f"detect: {len(failed)} of {len(scenes)} scenes failed, the others are done:\n{reasons}"
        )
    return done


def _fitted(
    scenes: Sequence[Path], settings: PredictionSettings, extent: int | str | None, n_components: int | None
) -> Graph:
    pixels = _in_pixels(extent, scenes[0]) if isinstance(extent, str) else extent
    rate = settings.false_alarm_rate
    graph = unsupervised(pixels, n_components, **({} if rate is None else {"false_alarm_rate": rate}))
    once = TrainingConfig(trainer=TrainerConfig(max_epochs=0))
    graph.train(SceneList(scenes, **asdict(settings.reading)), once)
    return graph


def _in_pixels(extent: str, scene: Path) -> int:
    """Return a length in metres, as "20m", as an odd number of a scene's pixels."""
    number, unit = extent[:-1], extent[-1:]
    try:
        metres = float(number) if unit == "m" else float("nan")
    except ValueError:
        metres = float("nan")
    if not metres > 0:
        raise ConfigError(
            f'detect: `extent`: expected an odd number of pixels or metres as "20m", got {extent!r}.'
        )
    grid = open_cube(scene).georeference
    if grid is None or not grid.in_metres:
        raise ConfigError(
            f"{scene}: expected a georeference in metres for an `extent` of {extent}, got none. "
            "Give it in pixels."
        )
    return 2 * round(metres / max(grid.pixel_size()) / 2 - 0.5) + 1
