"""Prediction by an exported model: it needs ONNX Runtime, and no torch."""

import importlib.util
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.prediction.model_prediction import predict_by_model
from cuvis_ai.pipeline.prediction.settings import PredictionSettings

logger = logging.getLogger(__name__)


def predict(path: Path, chosen: dict[str, Any]) -> None:
    """Write the maps of scenes.

    Args:
        path: the model.
        chosen: the command's other arguments.

    Raises:
        ConfigError: one of them needs the graph.
    """
    del chosen["allow"]  # formats are allowed where the argument is read; a model has no classes of nodes
    needing_the_graph = ("mask_key", "masks", "anomaly_labels", "ignore_labels")
    given = [name for name in needing_the_graph if chosen.pop(name, None)]
    if given:
        raise ConfigError(f"{path}: expected arguments that need no graph, got {given}. Use its zip.")
    device, scenes, out = (chosen.pop(name) for name in ("device", "scenes", "out"))
    reading = {one.name: chosen.pop(one.name) for one in fields(ReadingOptions) if one.name in chosen}
    settings = {one.name: chosen.pop(one.name) for one in fields(PredictionSettings) if one.name in chosen}
    assert not chosen, chosen
    if settings["picture"] and not _can_draw():
        logger.info("No pictures are drawn: that takes matplotlib and torch, which are not both installed.")
        settings["picture"] = False
    predict_by_model(
        path, scenes, out, PredictionSettings(reading=ReadingOptions(**reading), **settings), device=device
    )


def _can_draw() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("matplotlib", "torch"))
