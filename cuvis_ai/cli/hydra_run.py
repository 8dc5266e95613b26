"""Runs of Hydra configurations, which `cuvis-ai train` and the scripts in `examples_torch` share."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cuvis_ai.cli.command_line import REPORTED, loaded, prepare_log
from cuvis_ai.errors import escaped

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from cuvis_ai.cli.sweep import Job


def run_hydra(config_name: str) -> None:
    """Run a configuration of `cuvis_ai/conf`, or another that the command line names, with its overrides.

    A sweep (`-m`) ends with a table of its jobs, of those that ran in this process.
    """
    import hydra

    jobs: list[Job] = []
    run = hydra.main(version_base="1.3", config_path="pkg://cuvis_ai.conf", config_name=config_name)(
        lambda config: run_or_exit(config, jobs)
    )
    prepare_log()
    try:
        loaded("guarded_hydra").guard()
        run()
    except REPORTED as err:
        sys.exit(escaped(f"cuvis-ai: {err}"))
    finally:
        if jobs:
            loaded("sweep").write_table(jobs)


def run_or_exit(config: "DictConfig", jobs: "list[Job] | None" = None) -> float | None:
    """Call `run_config`; return the value that the run watched, which a sweeper such as Optuna's optimizes.

    An error that the user can put right ends the program with its message alone; in a sweep, that job.

    Args:
        config: the configuration.
        jobs: where the result goes, if this is a job of a sweep.
    """
    job = loaded("sweep").current_job(config)
    if job is not None:
        loaded("sweep").give_own_folder(config, job)
    try:
        finished = loaded("configured_run").run_config(config, _allowed(config))
    except REPORTED as err:
        if job is None:
            sys.exit(escaped(f"cuvis-ai: {err}"))
        _note(jobs, replace(job, failed=str(err)))
        raise loaded("sweep").JobError(f"cuvis-ai: job {job.number}: {err}") from err
    if job is not None:
        _note(jobs, replace(job, watched=finished.watched, values=finished.values))
    watched: float | None = finished.watched
    return watched


def _allowed(config: "DictConfig") -> Any:
    """Take `allow` out of a configuration; in a file it is refused before, so it was on the command line."""
    from omegaconf import OmegaConf

    OmegaConf.set_struct(config, False)
    allow = config.pop("allow", None)
    return () if allow is None else OmegaConf.to_container(allow) if OmegaConf.is_config(allow) else allow


def _note(jobs: "list[Job] | None", job: "Job") -> None:
    if jobs is not None:
        jobs.append(job)
