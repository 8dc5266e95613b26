"""Anomalies in scenes without labels: the default detector is fitted to them and applied."""

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Unpack, cast, get_type_hints

from cuvis_ai.data.cube import open_cube
from cuvis_ai.data.cube_array import CubeArray
from cuvis_ai.data.folders import cube_name
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.evaluation.detection_report import write_detection_report
from cuvis_ai.pipeline.evaluation.evaluation_files import require_free, write_evaluation
from cuvis_ai.pipeline.evaluation.scene_evaluation import SceneEvaluation
from cuvis_ai.pipeline.evaluation.score_sources import evaluate_predictions
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction.graph_prediction import PredictionArguments, TruthArguments, settings_of
from cuvis_ai.pipeline.prediction.predictor import SCENE_ERRORS
from cuvis_ai.pipeline.prediction.scene_files import find_scenes
from cuvis_ai.pipeline.prediction.scene_outputs import ScenePrediction, facts_path
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from cuvis_ai.pipeline.prediction.standing_maps import prepare_folder, require_writable
from cuvis_ai.pipelines import FALSE_ALARM_RATE, unsupervised
from cuvis_ai.training.config import TrainerConfig, TrainingConfig

logger = logging.getLogger(__name__)


class DetectedScenes(list[ScenePrediction]):
    """The scenes that a call of `detect` finished.

    Attributes:
        evaluation: what the scores of all its scenes are worth; None without masks.

    Example:
        >>> detect("scene.hdr", masks="mask.npy").evaluation.pooled.anomalies
        1
    """

    evaluation: SceneEvaluation | None = None


def detect(
    source: StrPath | Iterable[StrPath],
    out: StrPath | None = None,
    *,
    extent: int | str | None = 13,
    n_components: int | None = 32,
    together: bool = False,
    save: StrPath | None = None,
    **options: Unpack[PredictionArguments],
) -> DetectedScenes:
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
        options: those of `graph.predict`; with `masks` or `mask_key` the scores are also evaluated, and the
            threshold stays the detector's.

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
    folder = None if out is None else Path(out)
    predicted = _without_masks(options)
    if settings.truth is not None and folder is not None:
        require_free(folder, overwrite=settings.overwrite or settings.goes_on)
    if save is not None and len(scenes) > 1 and not together:
        raise ConfigError(
            f"detect: expected one scene, or all together, for one saved graph, got {len(scenes)} scenes. "
            "Pass --together, or leave --save out."
        )
    if folder is not None:
        prepare_folder(folder, scenes, settings)
    if save is not None:
        require_writable(Path(save).parent)
    groups = [scenes] if together else [[scene] for scene in scenes]
    done, failed = DetectedScenes(), {}
    for group in groups:
        try:
            graph = _fitted(group, settings, extent, n_components)
            done += graph.predict(group, out, **predicted)
        except SCENE_ERRORS as err:
            if len(groups) == 1:
                raise
            failed[group[0]] = err
            logger.warning("%s: %s", group[0], err)
        else:
            if save is not None:
                graph.save_to_file(save)
    done.evaluation = _evaluated([scene for scene in scenes if scene not in failed], done, folder, settings)
    if folder is not None:
        _report(scenes, folder, done.evaluation, settings)
    if failed:
        reasons = "\n".join(f"  {path}: {err}" for path, err in failed.items())
        raise GraphError(
            f"detect: {len(failed)} of {len(scenes)} scenes failed, the others are done:\n{reasons}"
        )
    return done


def _without_masks(options: PredictionArguments) -> PredictionArguments:
    """The options of the prediction, whose threshold masks are not to change."""
    rest = {name: value for name, value in options.items() if name not in get_type_hints(TruthArguments)}
    return cast(PredictionArguments, rest)


def _evaluated(
    scenes: Sequence[Path],
    done: Sequence[ScenePrediction],
    folder: Path | None,
    settings: PredictionSettings,
) -> SceneEvaluation | None:
    """What the scores of the finished scenes are worth, where there are masks."""
    if settings.truth is None:
        return None
    new = {one.name: (one.scores, one.threshold) for one in done}
    found = {scene: new.get(cube_name(scene)) or _earlier(folder, cube_name(scene)) for scene in scenes}
    finished = {scene: one for scene, one in found.items() if one is not None}
    thresholds = {threshold for _, threshold in finished.values()}
    return evaluate_predictions(
        {scene: scores for scene, (scores, _) in finished.items()},
        settings.truth,
        thresholds.pop() if len(thresholds) == 1 else None,  # else each scene has its own
        (),
        settings.reading.axes,
    )


def _earlier(folder: Path | None, name: str) -> tuple[CubeArray, float | None] | None:
    """The map and the threshold of a scene that an earlier run finished."""
    if folder is None or not facts_path(folder, name).exists():
        return None
    facts = json.loads(facts_path(folder, name).read_text(encoding="utf-8"))
    return open_cube(folder / facts["files"][0]).values, facts["threshold"]


def _report(
    scenes: Sequence[Path], folder: Path, evaluation: SceneEvaluation | None, settings: PredictionSettings
) -> None:
    """Write the page about the finished scenes, and with masks the evaluation's files."""
    if evaluation is not None:
        write_evaluation(evaluation, folder, {"data": [str(scene) for scene in scenes]}, overwrite=True)
    rate = FALSE_ALARM_RATE if settings.false_alarm_rate is None else settings.false_alarm_rate
    path = write_detection_report(scenes, folder, evaluation, rate if settings.threshold is None else None)
    logger.info("The report is %s", path)


def _fitted(
    scenes: Sequence[Path], settings: PredictionSettings, extent: int | str | None, n_components: int | None
) -> Graph:
    pixels = _in_pixels(extent, scenes[0]) if isinstance(extent, str) else extent
    rate = settings.false_alarm_rate
    graph = unsupervised(pixels, n_components, FALSE_ALARM_RATE if rate is None else rate)
    once = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=sys.stdout.isatty()))
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
