"""What makes a scene's maps others: written with them, and asked before a run goes on from what stands there.

It needs no torch.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cuvis_ai.data.folders import other_files
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from cuvis_ai.pipeline.scene_reader import SceneReader

NEIGHBOURS = "neighbours"
_OF_THE_SCENE = {"scene", "bytes", "modified_ns", "shape"}


def identity_of(
    path: Path, reader: SceneReader, graph: Mapping[str, Any], settings: PredictionSettings
) -> dict[str, Any]:
    """Return what a scene's maps depend on: graph, file, settings, and the neighbours whose pixels enter."""
    identity = {**graph, **_facts_of(path, reader), "settings": _described(settings)}
    if reader.neighbours:
        identity[NEIGHBOURS] = [
            {**_facts_of(other.cube.path, other), "place": list(place)} for place, other in reader.neighbours
        ]
    return identity


def identity_in(path: Path) -> object:
    """Return the identity that a file begins with; None if it is not there or cannot be read."""
    with suppress(FileNotFoundError, ValueError):
        found, _ = json.JSONDecoder().raw_decode(path.read_text(encoding="utf-8"))
        return found
    return None


def require_same(path: Path, found: object, identity: Mapping[str, Any]) -> None:
    """Raise an error unless what stands in a folder has this identity.

    Args:
        path: the file that says what stands there.
        found: what it says.
        identity: what is to be written.

    Raises:
        FileExistsError: it is of another scene of this name, or of an earlier file of it.
        ConfigError: it is of another graph, of other settings or neighbours.
    """
    differing = differences(found, identity)
    others = set(differing) - {NEIGHBOURS}
    if others and others <= _OF_THE_SCENE:
        raise FileExistsError(
            f"{path}: expected the maps of this scene, got those of an earlier file, or of another of its "
            f"name: other {', '.join(differing)}. Predict it alone with --overwrite, or into another "
            "folder."
        )
    if differing:
        alone = "run once with --resume and without --shard, " if differing == [NEIGHBOURS] else ""
        raise ConfigError(
            f"{path}: expected the maps of this graph, scene and settings, got those of other "
            f"{', '.join(differing)}. To replace them, {alone}pass --overwrite, or name "
            "another folder."
        )


def differences(found: object, identity: Mapping[str, Any]) -> list[str]:
    """Return which facts of an identity are others in what a file says; all, if it says something else."""
    wanted = json.loads(json.dumps({**identity, NEIGHBOURS: identity.get(NEIGHBOURS)}))
    return [key for key, value in wanted.items() if not isinstance(found, dict) or found.get(key) != value]


def _facts_of(path: Path, reader: SceneReader) -> dict[str, Any]:
    """What tells a scene's files from others of their names."""
    stats = [one.stat() for one in (path, *other_files(path))]
    return {
        "scene": path.name,
        "bytes": [stat.st_size for stat in stats],
        "modified_ns": [stat.st_mtime_ns for stat in stats],
        "shape": list(reader.cube.shape),
    }


def _described(settings: PredictionSettings) -> dict[str, Any]:
    """The settings that make what is written another."""
    described = asdict(settings)
    # The truth is in the threshold.
    for name in ("shard", "overwrite", "resume", "devices", "truth"):
        del described[name]
    return described
