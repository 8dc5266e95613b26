"""Where scores of scenes come from: a graph, or maps that were written before."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack, get_type_hints

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.band_selection import BandSelection
from cuvis_ai.data.cube import Cube
from cuvis_ai.data.cube_array import CubeArray
from cuvis_ai.data.cube_batch import window_batch
from cuvis_ai.data.folders import cube_name, find_cubes
from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.data.opened_cube import is_cube_source, opened
from cuvis_ai.data.options import ReadingOptions, SceneArguments, refuse
from cuvis_ai.data.sources.decoding import decoding
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.evaluation.scene_evaluation import (
    SceneEvaluation,
    ScoredScene,
    Strips,
    evaluated,
    rate_name,
)
from cuvis_ai.pipeline.graph_members import Members
from cuvis_ai.pipeline.prediction.graph_prediction import TruthArguments
from cuvis_ai.pipeline.prediction.neighbours import with_neighbours
from cuvis_ai.pipeline.prediction.scene_files import find_scenes
from cuvis_ai.pipeline.prediction.scene_outputs import facts_path
from cuvis_ai.pipeline.prediction.scorer import Scorer, scorer_of
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from cuvis_ai.pipeline.prediction.strip_scorer import STRIP_BYTES
from cuvis_ai.pipeline.scene_masks import MaskOptions, masks_of
from cuvis_ai.pipeline.scene_reader import SceneReader
from cuvis_ai.pipeline.trained_bands import TrainedBands

_MAP_ENDING = "_scores"
"""What a map's file name adds to its scene's."""


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How scenes are evaluated."""

    truth: MaskOptions = field(default_factory=MaskOptions)
    """Where masks are."""
    threshold: float | None = None
    """In place of the graph's stored threshold."""
    false_alarm_rates: Sequence[float] = (0.01, 0.001)
    """Shares of the normal pixels, at the thresholds above which they are."""
    match_bands: bool = False
    """Whether to take each scene's bands nearest to those of training."""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    """How scenes are read."""


class EvaluationArguments(SceneArguments, TruthArguments, total=False):
    """The arguments of `graph.evaluate_scenes` besides its source: those of the records, flat."""

    mask: StrPath | None
    threshold: float | None
    false_alarm_rates: Sequence[float]
    match_bands: bool


def options_of(arguments: EvaluationArguments) -> EvaluationOptions:
    """Return flat arguments as a record.

    Raises:
        ConfigError: values that are impossible.
        TypeError: an argument that is unknown.
    """
    given: dict[str, Any] = dict(arguments)

    def part(names: Iterable[str]) -> dict[str, Any]:
        return {name: given.pop(name) for name in names if name in given}

    reading = ReadingOptions(**part(get_type_hints(SceneArguments)))
    refuse("evaluate", reading.problems())
    truth = MaskOptions(**part(one.name for one in fields(MaskOptions)))
    return EvaluationOptions(truth=truth, reading=reading, **given)


def evaluate_graph(
    members: Members,
    bands: TrainedBands,
    source: StrPath | Sequence[StrPath],
    options: EvaluationOptions,
) -> SceneEvaluation:
    """Return what a graph's scores of scenes are worth.

    Args:
        members: the graph's.
        bands: those of training.
        source: scenes as `find_scenes` takes them.
        options: how.

    Raises:
        DatasetNotFoundError: a scene, or all masks, are not there.
        GraphError: the graph's output is no score, or a scene does not fit it.
        CubeFormatError: a scene or a mask cannot be read.
    """
    end = members.topology.end()
    scorer, bands = scorer_of(members.execution, end, bands)
    paths = {cube_name(path): path for path in find_scenes(source)}
    masks = masks_of(paths, options.truth, options.reading.axes)
    readers = [
        SceneReader.of(opened(path, options.reading), bands, options.reading, match_bands=options.match_bands)
        for path in paths.values()
    ]
    scenes = []
    for name, reader in zip(paths, with_neighbours(readers, scorer.halo), strict=True):
        if (channels := scorer.channels(reader)) != 1:
            raise GraphError(
                f"evaluate: expected a graph that ends in one score a pixel, got {channels} channels of "
                f"{members.node(end).label}."
            )
        scenes.append(
            ScoredScene(
                name=name, size=reader.cube.shape[:2], mask=masks[name],
                strips=partial(_scored, scorer, reader),
            )
        )  # fmt: skip
    threshold = members.stored_threshold(end) if options.threshold is None else options.threshold
    return evaluated(scenes, threshold, options.false_alarm_rates)


def with_normal_quantile(
    members: Members, bands: TrainedBands, source: Any, settings: PredictionSettings
) -> PredictionSettings:
    """Return settings whose threshold is the quantile of the normal pixels' scores, where masks are given.

    Args:
        members: the graph's.
        bands: those of training.
        source: scenes as `find_scenes` takes them; a cube in memory has no mask.
        settings: those of a prediction.

    Raises:
        ConfigError: masks without a rate, or with a threshold or statistics that make them useless.
    """
    if settings.truth is None:
        return settings
    rate = settings.false_alarm_rate
    in_memory = is_cube_source(source) and not isinstance(source, str | os.PathLike)
    if rate is None or settings.threshold is not None or settings.refit or in_memory:
        raise ConfigError(
            "predict: expected masks of scene files beside a `false_alarm_rate`, for which normal pixels "
            "set the threshold, and neither a `threshold` nor `refit`, got them otherwise. Leave out one of "
            "them; to measure with masks, `evaluate`."
        )
    options = EvaluationOptions(
        truth=settings.truth, false_alarm_rates=(rate,), match_bands=settings.match_bands,
        reading=settings.reading,
    )  # fmt: skip
    found = evaluate_graph(members, bands, source, options).thresholds.get(rate_name(rate))
    if found is None:
        raise GraphError("predict: expected normal pixels in the masks for a false-alarm rate, got none.")
    return replace(settings, threshold=found, false_alarm_rate=None, truth=None)


def evaluate_maps(
    source: StrPath | Sequence[StrPath], **options: Unpack[EvaluationArguments]
) -> SceneEvaluation:
    """Return what score maps are worth: those that `predict` wrote, or one-band cubes of any other origin.

    The stored threshold is the one that `predict` wrote beside them.

    Args:
        source: maps, as `find_scenes` takes them; of a folder of `predict`, those of scores. The name of a
            map's scene is the file's without `_scores`.
        options: as in `graph.evaluate_scenes`; the mask of a map is called like its scene.

    Raises:
        DatasetNotFoundError: a map, or all masks, are not there.
        ConfigError: the maps were written with several thresholds.
        CubeFormatError: a map or a mask cannot be read.
    """
    chosen = options_of(options)
    several = [source] if isinstance(source, str | os.PathLike) else list(source)
    maps = find_scenes([path for one in several for path in _maps(Path(one))])
    paths = {cube_name(path).removesuffix(_MAP_ENDING): path for path in maps}
    masks = masks_of(paths, chosen.truth, chosen.reading.axes)
    scenes = []
    for name, path in paths.items():
        cube = opened(path, chosen.reading)
        if cube.shape[2] != 1:
            raise GraphError(
                f"{path}: expected a map of scores with one band, got {cube.shape[2]}. To evaluate a "
                "graph on scenes, name its zip first."
            )
        strips = partial(_read, cube, chosen.reading)
        scenes.append(ScoredScene(name=name, size=cube.shape[:2], mask=masks[name], strips=strips))
    threshold = _written_threshold(paths) if chosen.threshold is None else chosen.threshold
    return evaluated(scenes, threshold, chosen.false_alarm_rates)


def evaluate_predictions(
    scores: Mapping[Path, NDArray[np.float32] | CubeArray],
    truth: MaskOptions,
    threshold: float | None,
    false_alarm_rates: Sequence[float],
    axes: str | None = None,
) -> SceneEvaluation:
    """Return what scores of scenes are worth.

    Args:
        scores: (h, w, 1) by the scene's file.
        truth: where masks are.
        threshold: above which a pixel is detected; None: unknown.
        false_alarm_rates: shares of the normal pixels at which to measure, too.
        axes: the user's order of the scenes' axes, which masks in the scenes' own files follow.
    """
    paths = {cube_name(path): path for path in scores}
    masks = masks_of(paths, truth, axes)
    scenes = [
        ScoredScene(
            name=name, size=scores[path].shape[:2], mask=masks[name], strips=partial(_sliced, scores[path])
        )
        for name, path in paths.items()
    ]
    return evaluated(scenes, threshold, false_alarm_rates)


def _sliced(scores: NDArray[np.float32] | CubeArray) -> Strips:
    h, w, _ = scores.shape
    rows = max(1, STRIP_BYTES // (4 * w))
    for top in range(0, h, rows):
        window = Window(top, 0, min(rows, h - top), w)
        yield window, np.asarray(scores[window.slices[0]], dtype=np.float32)


def _scored(scorer: Scorer, reader: SceneReader) -> Strips:
    return scorer.scores(reader, scorer.strips(reader))


def _read(cube: Cube, reading: ReadingOptions) -> Strips:
    h, w, _ = cube.shape
    rows = max(1, STRIP_BYTES // (4 * w))
    bands = BandSelection.of(cube, reading)
    for top in range(0, h, rows):
        window = Window(top, 0, min(rows, h - top), w)
        batch = window_batch(cube, window, bands, reading)
        scores = batch["cube"][0, 0].numpy()
        if "valid" in batch:
            scores = np.where(batch["valid"][0].numpy(), scores, np.float32("nan"))
        yield window, scores[..., None]


def _maps(path: Path) -> list[Path]:
    """The maps that a path names: of a folder that `predict` wrote, its scores."""
    if not path.is_dir():
        return [path]
    scores = [one for one in find_cubes(path) if cube_name(one).endswith(_MAP_ENDING)]
    return scores or [path]


def _written_threshold(paths: dict[str, Path]) -> float | None:
    """The threshold that `predict` wrote beside maps; None where it wrote none."""
    found = set()
    for name, path in paths.items():
        facts = facts_path(path.parent, name)
        if facts.is_file():
            with decoding(facts):
                threshold = json.loads(facts.read_text(encoding="utf-8"))["threshold"]
                if threshold is not None:
                    found.add(float(threshold))
    if len(found) > 1:
        raise ConfigError(
            f"evaluate: expected maps with one threshold, got {sorted(found)}. Pass `threshold`."
        )
    return found.pop() if found else None
