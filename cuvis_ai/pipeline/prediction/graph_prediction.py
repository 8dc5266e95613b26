"""What `graph.predict` does with a graph's members."""

from collections.abc import Sequence
from typing import Any, TypedDict, get_type_hints

from cuvis_ai.data.options import ReadingOptions, SceneArguments
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.graph_members import Members
from cuvis_ai.pipeline.prediction.alarm_threshold import alarm_threshold
from cuvis_ai.pipeline.prediction.predictor import Predictor
from cuvis_ai.pipeline.prediction.processes import in_processes
from cuvis_ai.pipeline.prediction.scene_outputs import ScenePrediction, digest
from cuvis_ai.pipeline.prediction.scorer import Refit, scorer_of
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from cuvis_ai.pipeline.scene_masks import MaskOptions
from cuvis_ai.pipeline.trained_bands import TrainedBands


class TruthArguments(TypedDict, total=False):
    """Where masks are, and what their values mean, as in `MaskOptions`."""

    masks: StrPath | None
    mask_key: str | None
    anomaly_labels: Sequence[float]
    ignore_labels: Sequence[float]


class PredictionArguments(SceneArguments, TruthArguments, total=False):
    """The arguments of `graph.predict` besides source and folder: those of `PredictionSettings`, flat."""

    format: str
    mask: bool
    detections: bool
    picture: bool
    threshold: float | None
    false_alarm_rate: float | None
    min_pixels: int
    top: int | None
    match_bands: bool
    refit: bool
    shard: tuple[int, int]
    devices: int
    overwrite: bool
    resume: bool


def settings_of(arguments: PredictionArguments) -> PredictionSettings:
    """Return flat arguments as settings.

    Raises:
        ConfigError: values that are impossible.
        TypeError: an argument that is unknown.
    """
    given: dict[str, Any] = dict(arguments)
    options = get_type_hints(SceneArguments)
    reading = ReadingOptions(**{name: given.pop(name) for name in options if name in given})
    return PredictionSettings(reading=reading, truth=truth_of(given), **given)


def truth_of(given: dict[str, Any]) -> MaskOptions | None:
    """Take the arguments of masks out of others, and return them as a record; None where there are none."""
    taken = {name: given.pop(name) for name in get_type_hints(TruthArguments) if name in given}
    return MaskOptions(**taken) if any(taken.values()) else None


def predict(
    members: Members,
    name: str,
    bands: TrainedBands,
    source: Any,
    out: StrPath | None,
    settings: PredictionSettings,
    refit: Refit | None,
) -> list[ScenePrediction]:
    """Return the predictions of scenes, written to a folder if one is given.

    Args:
        members: the graph's.
        name: the graph's.
        bands: those of training.
        source: scenes as `find_scenes` takes them; or one cube in memory, as an array, DataArray or `Cube`.
        out: the folder.
        settings: what is written.
        refit: fits statistics, where each scene is to have its own.

    Raises:
        DatasetNotFoundError: a name names nothing.
        GraphError: some scene does not fit the graph or cannot be read; the others are done.
        ConfigError: several devices are to write to no folder.
        FileExistsError: the folder has maps of these scenes.
    """
    end = members.topology.end()
    node = members.node(end)
    threshold = None
    if settings.needs_threshold or not (settings.threshold is None and settings.false_alarm_rate is None):
        threshold = alarm_threshold(
            node, members.leaves, members.topology.leaves,
            threshold=settings.threshold, false_alarm_rate=settings.false_alarm_rate,
        )  # fmt: skip
    state = {
        key: value.detach().cpu().contiguous().numpy().tobytes()
        for key, value in members.state_dict().items()
    }
    # Which bands are needed may be fitted, too.
    scorer, needed = scorer_of(members.execution, end, bands, all_bands=refit is not None)
    predictor = Predictor(
        scorer=scorer,
        bands=needed,
        threshold=threshold,
        graph={"graph": name, "weights": digest(state), "threshold": threshold},
        settings=settings,
        refit=refit,
    )
    return predictor.predictions(source, out, in_processes)
