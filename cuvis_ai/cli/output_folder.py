"""The output folder of a configured run: tried first, held by one run, an earlier run's files moved aside."""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cuvis_ai.errors import ConfigError
from cuvis_ai.paths import StrPath
from cuvis_ai.training.config import TrainerConfig
from cuvis_ai.training.engine.resume import LAST, check_checkpoint_folders, checkpoint_folders
from cuvis_ai.training.monitors.files import claim, time_stamp
from cuvis_ai.training.monitors.protocol import Monitor, WritesFiles
from cuvis_ai.whole_file import make_writable

logger = logging.getLogger(__name__)

GRAPH = "trained_graph.zip"
OVERVIEW = "overview.png"
CONFIG = "config.yaml"
RESOLVED = "config.resolved.yaml"
_RECORD = ".cuvis_ai_run.json"
"""What the run in this folder writes: a list of paths and patterns within it."""


class OutputFolder:
    """Where a run's files go.

    Args:
        path: the folder.
        save_to: where the graph goes; None for `trained_graph.zip` in the folder.

    Raises:
        ConfigError: the graph cannot be written there.
    """

    def __init__(self, path: Path, save_to: StrPath | None) -> None:
        self.path = path
        self.graph = Path(save_to) if save_to else path / GRAPH
        self.overview = path / OVERVIEW

    @property
    def config(self) -> Path:
        """Where the resolved configuration goes: not in the place of one that no run wrote."""
        own = (self.path / CONFIG).exists() and CONFIG not in self._recorded()
        return self.path / (RESOLVED if own else CONFIG)

    def goes_on(self, ckpt_path: StrPath | None, checkpoint: Path) -> bool:
        """Whether a run from that checkpoint goes on with what is in this folder: "last" means its own."""
        return (
            ckpt_path is not None and os.fspath(ckpt_path) == LAST
        ) or checkpoint.resolve().is_relative_to(self.path.resolve())

    @contextmanager
    def held(self, monitors: Sequence[Monitor], trainer: TrainerConfig, *, resumes: bool) -> Iterator[None]:
        """Try every place that the run will write to, then hold the folder for it.

        Unless the run goes on with what is there, files of an earlier run are moved aside: what that one
        recorded, and what would be overwritten. Nothing outside the folder is moved.

        Raises:
            ConfigError: a place cannot be written to, or another run holds the folder.
        """
        lock = claim(self.path, "train", "output_dir")
        try:
            _try_file(self.graph)
            for monitor in monitors:
                if isinstance(monitor, WritesFiles):
                    monitor.try_folder()
            check_checkpoint_folders(trainer)
            if not resumes:
                self._move_aside()
            written = [self.config, self.graph, self.overview, self.path / "hpc_ckpt_*.ckpt"]
            written += [folder / "**" / "*.ckpt" for folder in checkpoint_folders(trainer)]
            for monitor in monitors:
                written += monitor.files() if isinstance(monitor, WritesFiles) else []
            self._record(written)
            yield
        finally:
            lock.release(force=True)

    def _record(self, written: Iterable[Path]) -> None:
        within = [self._within(path) for path in written]
        names = dict.fromkeys([*self._recorded(), *(name for name in within if name is not None)])
        (self.path / _RECORD).write_text(json.dumps(list(names), indent=1), encoding="utf-8")

    def _within(self, path: Path) -> str | None:
        """Return a path relative to the folder; None if it lies elsewhere."""
        root = self.path.resolve()
        whole = path.parent.resolve() / path.name
        return whole.relative_to(root).as_posix() if whole.is_relative_to(root) else None

    def _recorded(self) -> list[str]:
        with suppress(OSError, ValueError):
            names = json.loads((self.path / _RECORD).read_text(encoding="utf-8"))
            return [n for n in names if isinstance(n, str) and not Path(n).is_absolute() and ".." not in n]
        return []

    def _move_aside(self) -> None:
        """Move files of an earlier run to `earlier_<time>`, each to the same place below it."""
        names = [*self._recorded(), *filter(None, map(self._within, (self.graph, self.overview)))]
        found = dict.fromkeys(path for name in names for path in self.path.glob(name))
        if found:
            first = next(iter(found))
            stamp = time_stamp(first, lambda stamp: (self.path / f"earlier_{stamp}").exists())
            aside = self.path / f"earlier_{stamp}"
            for path in found:
                target = aside / path.relative_to(self.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
            logger.info("%d files of an earlier run moved to %s", len(found), aside)
        (self.path / _RECORD).unlink(missing_ok=True)


def _try_file(path: Path) -> None:
    """Raise a `ConfigError` unless a file can be written there; what is there stays as it is."""
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        make_writable(path.parent)
    except OSError as err:
        raise ConfigError(
            f"save_to: expected a file that can be written, got {str(path)!r} ({err.strerror}).\n"
            f"  No data were read, nothing was trained or moved.\n"
            f"  Name a file in a folder that can be written to, such as {str(path.with_name(GRAPH))!r}."
        ) from err
