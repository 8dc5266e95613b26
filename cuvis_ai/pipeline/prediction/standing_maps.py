"""What stands in a folder of maps before scenes are predicted into it: refused, removed, or gone on from.

It needs no torch.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from cuvis_ai.data.folders import cube_name
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.prediction.identity import identity_in
from cuvis_ai.pipeline.prediction.journal import journal_path
from cuvis_ai.pipeline.prediction.scene_outputs import facts_path
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from cuvis_ai.whole_file import make_writable


def prepare_folder(
    folder: Path, scenes: Sequence[Path], settings: PredictionSettings
) -> dict[Path, list[Path]]:
    """Make a folder for maps, and return the files by which maps of scenes stand there, to be gone on from.

    Raises:
        FileExistsError: maps of a scene stand in the folder and are neither replaced nor gone on from.
        ConfigError: the folder cannot be written to, or is one of the scenes' own.
    """
    if any(scene.parent.resolve() == folder.resolve() for scene in scenes):
        raise ConfigError(
            f"{folder}: expected a folder of its own for maps, which would be taken for scenes, got one "
            "with scenes. Name another."
        )
    require_writable(folder)
    standing = _standing(folder, scenes)
    if settings.goes_on:
        return standing
    for scene, found in standing.items():
        if not settings.overwrite:
            what = "unfinished" if found[0].suffix == ".journal" else "finished"
            raise FileExistsError(
                f"{folder}: expected a folder without maps of {cube_name(scene)}, got {what} ones. Pass "
                "--overwrite to replace them, --resume to do the rest only, or another folder."
            )
        for path in found:
            _remove_maps(path)
            path.unlink()
    return {}


def require_writable(folder: Path) -> None:
    """Make a folder, and raise an error unless files can be written there.

    Raises:
        ConfigError: they cannot.
    """
    try:
        make_writable(folder)
    except OSError as err:
        raise ConfigError(
            f"{folder}: expected a folder that can be written to: {err.strerror}. Nothing was read or "
            "computed. Name another."
        ) from err


def _remove_maps(facts: Path) -> None:
    """Remove the files that the facts about a finished scene name, which may be of another format by now."""
    found = identity_in(facts)
    names = found.get("files", ()) if isinstance(found, dict) else ()
    for path in (facts.parent / name for name in names if Path(name).name == name):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if path.suffix == ".hdr":
            path.with_suffix(".img").unlink(missing_ok=True)


def _standing(folder: Path, scenes: Sequence[Path]) -> dict[Path, list[Path]]:
    """Return the files that say what stands of scenes, finished or unfinished."""
    there = set(folder.iterdir())
    found = {}
    for scene in scenes:
        name = cube_name(scene)
        paths = [path for path in (facts_path(folder, name), journal_path(folder / name)) if path in there]
        if paths:
            found[scene] = paths
    return found
