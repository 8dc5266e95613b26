"""What makes a scene's maps others: written with them, and asked before a run goes on from what stands there.

It needs no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from cuvis_ai.pipeline.scene_reader import SceneReader


def identity_of(
    path: Path, reader: SceneReader, graph: Mapping[str, Any], settings: PredictionSettings
) -> dict[str, Any]:
    """Return what a scene's maps depend on: graph, file, settings, and the neighbours whose pixels enter."""
    identity = {**graph, **_facts_of(path, reader), "settings": _described(settings)}
    if reader.neighbours:
        identity["neighbours"] = [
            {**_facts_of(other.cube.path, other), "place": list(place)} for place, other in reader.neighbours
        ]
    return identity


def require_same(facts: Path, identity: Mapping[str, Any]) -> None:
    """Raise an error unless maps that stand there are of this identity.

    Raises:
        ConfigError: they depend on others.
    """
    found = json.loads(facts.read_text(encoding="utf-8"))
    wanted = {"neighbours": None, **json.loads(json.dumps(identity))}
    if differing := [key for key, value in wanted.items() if found.get(key) != value]:
        raise ConfigError(
            f"{facts}: expected the maps of this graph, scene and settings, got those of other "
            f"{', '.join(differing)}. Pass --overwrite, or another folder."
        )


def _facts_of(path: Path, reader: SceneReader) -> dict[str, Any]:
    """What tells a scene's file from another of its name."""
    stat = path.stat()
    return {
        "scene": path.name,
        "bytes": stat.st_size,
        "modified_ns": stat.st_mtime_ns,
        "shape": list(reader.cube.shape),
    }


def _described(settings: PredictionSettings) -> dict[str, Any]:
    """The settings that make what is written another."""
    described = asdict(settings)
    # The truth is in the threshold.
    for name in ("shard", "overwrite", "resume", "devices", "truth"):
        del described[name]
    return described
