"""What `cuvis-ai predict` does with an exported model: the words of a graph, without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.functional.thresholds import tail_threshold
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.prediction.model_scorer import ModelFacts, ModelScorer
from cuvis_ai.pipeline.prediction.predictor import Predictor
from cuvis_ai.pipeline.prediction.scene_outputs import ScenePrediction, digest
from cuvis_ai.pipeline.prediction.settings import PredictionSettings


def predict_by_model(
    path: StrPath,
    source: Any,
    out: StrPath | None,
    settings: PredictionSettings,
    *,
    device: str = "cpu",
) -> list[ScenePrediction]:
    """Return the predictions of scenes by an exported model, written to a folder if one is given.

    Args:
        path: the file that `graph.export_onnx` wrote.
        source: scene files, folders, patterns, lists in text files; or one cube in memory.
        out: the folder.
        settings: what is written.
        device: "cpu" or "cuda".

    Raises:
        ArchiveError: the file is no such model.
        ConfigError: a setting that is impossible, or that needs the graph.
        GraphError: some scene does not fit the model or cannot be read; the others are done.
        FileExistsError: the folder has maps of these scenes.
        MissingExtraError: onnxruntime is not installed.
    """
    path = Path(path)
    if settings.refit or settings.truth is not None or settings.devices > 1:
        raise ConfigError(
            f"{path}: expected settings that need no graph, got `refit`, masks or several `devices`. Use its "
            "zip; several processes share the work with `shard`."
        )
    content = path.read_bytes()
    scorer = ModelScorer.load(path, content, device)
    facts = scorer.facts
    threshold = _threshold(path, facts, settings)
    identity: Mapping[str, Any] = {
        "graph": facts.graph,
        "weights": digest({"model": content}),
        "threshold": threshold,
    }
    predictor = Predictor(
        scorer=scorer, bands=facts.bands, threshold=threshold, graph=identity, settings=settings
    )
    return predictor.predictions(source, out, Predictor.share)  # of one device: never asked


def _threshold(path: Path, facts: ModelFacts, settings: PredictionSettings) -> float | None:
    """Return the score above which a pixel is detected; None where that is not needed."""
    given, rate = settings.threshold, settings.false_alarm_rate
    if given is not None and rate is not None:
        raise ConfigError("expected a threshold or a false-alarm rate, got both. Leave one out.")
    if rate is not None:
        if not facts.calibrated_tail:
            raise GraphError(
                f"{path}: expected scores with a calibrated tail for a false-alarm rate, got others. Export "
                "a graph that ends with `TailCalibrator`, or pass a threshold."
            )
        return tail_threshold(rate)
    found = facts.threshold if given is None else given
    if found is None and settings.needs_threshold:
        raise GraphError(
            f"{path}: expected a threshold to be stored with the model, got none. Attach a `Threshold` to "
            "the graph before it is exported, or pass one."
        )
    return found if settings.needs_threshold or given is not None else None
