"""Sweeps (`cuvis-ai train -m`): a folder of its own for each job, and one table of all jobs' results."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException as JobError
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cuvis_ai.training.monitors.files import move_aside

__all__ = ["Job", "JobError", "current_job", "give_own_folder", "write_table"]

TABLE = "sweep.csv"
_FOLDERS = ("output_dir", "log_dir", "dirpath")
"""What monitors and callbacks call a folder that they write to."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of a sweep and its result.

    Attributes:
        number: from 0.
        overrides: what the sweep changed, by key.
        sweep_folder: the `output_dir` of the sweep as a whole.
        watched: the value that the run watched; None if it has none, or failed.
        values: its last values by logged name.
        failed: the message, if an error ended it.

    Example:
        >>> Job(number=0, overrides={"nodes.pca.n_components": "3"}, sweep_folder=Path("outputs")).failed
        ''
    """

    number: int
    overrides: Mapping[str, str]
    sweep_folder: Path
    watched: float | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    failed: str = ""


def current_job(config: DictConfig) -> Job | None:
    """Return the job of a sweep that this process runs; None in a plain run."""
    if not HydraConfig.initialized() or HydraConfig.get().mode is not RunMode.MULTIRUN:
        return None
    job = HydraConfig.get().job
    pairs = (str(one).partition("=") for one in HydraConfig.get().overrides.task)
    return Job(
        number=int(job.num),
        overrides={key.lstrip("+"): value for key, _, value in pairs},
        sweep_folder=Path(config.get("output_dir") or "outputs"),
    )


def give_own_folder(config: DictConfig, job: Job) -> None:
    """Let a job write below `<output_dir>/<number>` alone, wherever its configuration names a folder."""
    own = job.sweep_folder / str(job.number)
    with open_dict(config):
        config.output_dir = str(own)  # what is interpolated from it follows
        trainer = (config.get("training") or {}).get("trainer")
        callbacks = [] if trainer is None else trainer.get("callbacks") or []
        monitors = (config.get("monitoring") or {}).values()
        for part, keys in [*((one, _FOLDERS) for one in (*callbacks, *monitors)), (config, ("save_to",))]:
            for key in keys:
                if isinstance(part, DictConfig) and part.get(key):
                    part[key] = str(_below(own, job.sweep_folder, Path(part[key])))
        if trainer is not None:
            trainer.default_root_dir = str(own)


def _below(own: Path, sweep_folder: Path, path: Path) -> Path:
    """Return a path in the job's folder: the same place as in the sweep's, else the same name."""
    whole = path.resolve()
    if whole.is_relative_to(own.resolve()):
        return path
    shared = sweep_folder.resolve()
    return own / (whole.relative_to(shared) if whole.is_relative_to(shared) else path.name)


def write_table(jobs: Iterable[Job]) -> None:
    """Write `sweep.csv` into the sweep's folder, with every value, and print what was watched."""
    rows = list(jobs)
    folders = dict.fromkeys(job.sweep_folder for job in rows)
    for folder in folders:
        of_folder = [_row(job) for job in rows if job.sweep_folder == folder]
        folder.mkdir(parents=True, exist_ok=True)
        move_aside(folder, [TABLE])
        with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
            names = dict.fromkeys(name for row in of_folder for name in row)
            writer = csv.DictWriter(file, list(names))
            writer.writeheader()
            writer.writerows(of_folder)
    table = Table(title=f"{len(rows)} jobs; all values: {', '.join(str(f / TABLE) for f in folders)}")
    columns = ["job", *dict.fromkeys(key for job in rows for key in job.overrides), "watched", "failed"]
    for column in columns:
        table.add_column(Text(column))
    for row in map(_row, rows):
        table.add_row(*(Text(_short(row.get(column, ""))) for column in columns))
    Console().print(table)


def _row(job: Job) -> dict[str, Any]:
    watched = "" if job.watched is None else job.watched
    return {"job": job.number, **job.overrides, "watched": watched, "failed": job.failed, **job.values}


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value).partition("\n")[0]
