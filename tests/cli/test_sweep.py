"""Sweeps: each job writes into a folder of its own, a table holds all results, and sweepers get the watched value."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from cuvis_ai.cli.hydra_run import run_or_exit
from cuvis_ai.cli.sweep import Job, current_job, give_own_folder, write_table
from cuvis_ai.pipeline.graph import Graph
from tests.lentils import write_lentils

PROGRAM = Path(sys.executable).with_name("cuvis-ai")


@pytest.fixture
def job() -> Iterator[Any]:
    """Makes this process one that runs a job of a sweep."""
    before = HydraConfig.instance().cfg

    def start(number: int, *overrides: str) -> None:
        hydra = {"mode": RunMode.MULTIRUN, "job": {"num": number}, "overrides": {"task": list(overrides)}}
        HydraConfig.instance().cfg = OmegaConf.create({"hydra": hydra})  # type: ignore[assignment]

    try:
        yield start
    finally:
        HydraConfig.instance().cfg = before


def test_a_plain_run_is_no_job() -> None:
    assert current_job(OmegaConf.create({})) is None


def test_every_job_has_all_its_files_in_a_folder_of_its_own(
    job: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    """Also those whose folder the configuration names without `output_dir`; `last` is the job's own."""
    settings["training"]["trainer"]["callbacks"] = [
        {
            "_target_": "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
            "dirpath": str(tmp_path / "kept"),
        }
    ]
    settings |= {"ckpt_path": "last", "save_to": str(tmp_path / "results" / "mine.zip")}
    jobs: list[Job] = []
    before = set(tmp_path.iterdir())
    for number, components in enumerate((2, 3)):
        job(number, f"nodes.pca.n_components={components}", "+training.seed=1")
        settings["nodes"]["pca"]["n_components"] = components
        watched = run_or_exit(OmegaConf.create(settings), jobs)
        assert watched == jobs[-1].watched == jobs[-1].values["val/loss/total"]
    assert set(tmp_path.iterdir()) - before == {tmp_path / "out"}
    for number, components in enumerate((2, 3)):
        own = tmp_path / "out" / str(number)
        graph = Graph.load_from_file(own / "mine.zip")
        assert graph.nodes["pca"].n_components == components
        assert OmegaConf.load(own / "config.yaml")["nodes"]["pca"]["n_components"] == components
        assert (own / "artifacts" / "metrics.jsonl").exists()
        assert list((own / "kept").glob("*.ckpt"))
        assert jobs[number].overrides == {"nodes.pca.n_components": str(components), "training.seed": "1"}


def test_a_job_that_fails_is_in_the_table_and_ends_no_other(job: Any, settings: dict[str, Any]) -> None:
    """Hydra goes on after an exception, not after the end of the program."""
    jobs: list[Job] = []
    job(4, "trainig=1")
    with pytest.raises(CompactHydraException, match=r"cuvis-ai: job 4: `trainig`: unknown key"):
        run_or_exit(OmegaConf.create({**settings, "trainig": {}}), jobs)
    assert [(one.number, one.watched) for one in jobs] == [(4, None)]
    assert jobs[0].failed.startswith("`trainig`: unknown key")


def test_paths_in_the_sweeps_folder_keep_their_place_below_the_jobs() -> None:
    config = OmegaConf.create(
        {
            "output_dir": "out",
            "save_to": "out/graphs/a.zip",
            "monitoring": {
                "files": {"output_dir": "${output_dir}/values"},
                "events": {"log_dir": "/mnt/logs"},
            },
            "training": {"trainer": {"callbacks": [{"dirpath": "out/kept"}, {"patience": 3}]}},
        }
    )
    give_own_folder(config, Job(number=7, overrides={}, sweep_folder=Path("out")))
    assert OmegaConf.to_container(config, resolve=True) == {
        "output_dir": "out/7",
        "save_to": "out/7/graphs/a.zip",
        "monitoring": {"files": {"output_dir": "out/7/values"}, "events": {"log_dir": "out/7/logs"}},
        "training": {
            "trainer": {
                "callbacks": [{"dirpath": "out/7/kept"}, {"patience": 3}],
                "default_root_dir": "out/7",
            }
        },
    }


def test_the_table_holds_every_jobs_overrides_and_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [
        Job(number=0, overrides={"lr": "0.1"}, sweep_folder=tmp_path, watched=0.25, values={"val/loss/total": 0.25}),
        Job(number=1, overrides={"lr": "0.2"}, sweep_folder=tmp_path, failed="lr: too much,\nand more"),
    ]  # fmt: skip
    write_table(jobs)
    write_table(jobs[:1])
    [earlier] = tmp_path.glob("sweep.*Z.csv")
    with earlier.open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {"job": "0", "lr": "0.1", "watched": "0.25", "failed": "", "val/loss/total": "0.25"},
            {
                "job": "1",
                "lr": "0.2",
                "watched": "",
                "failed": "lr: too much,\nand more",
                "val/loss/total": "",
            },
        ]
    assert len((tmp_path / "sweep.csv").read_text().splitlines()) == 2
    assert "lr: too much," in capsys.readouterr().out


# A sweeper that asks for values, as Optuna's does: it halves the learning rate until the value gets worse.

SWEEPER = """
from dataclasses import dataclass
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

class Halving(Sweeper):
    def setup(self, *, hydra_context, task_function, config):
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
    def sweep(self, arguments):
        values = []
        for i in range(3):
            job = [*arguments, f"training.optimizer.lr={0.1 / 2**i}"]
            [done] = self.launcher.launch([job], initial_job_idx=i)
            values.append(float(done.return_value))
        print("values:", *values)

@dataclass
class Config:
    _target_: str = "hydra_plugins.halving.Halving"

ConfigStore.instance().store(group="hydra/sweeper", name="halving", node=Config, provider="halving")
"""


@pytest.mark.slow
@pytest.mark.parametrize("sweeper", ["basic", "halving"])
def test_a_sweep_of_the_command(sweeper: str, repository: Path, tmp_path: Path) -> None:
    plugins = tmp_path / "plugins" / "hydra_plugins"
    plugins.mkdir(parents=True)
    (plugins / "halving.py").write_text(SWEEPER)
    folder = write_lentils(tmp_path / "Lentils", height=12, width=10, bands=9).folder
    given = (
        ["nodes.pca.n_components=2,3,0"] if sweeper == "basic" else ["hydra/sweeper=halving", "nodes.pca.n_components=3"]
    )  # fmt: skip
    arguments = ["data=lentils", f"datamodule.data_dir={folder}", "training.trainer.max_epochs=1", *given]
    done = subprocess.run(
        [PROGRAM, "train", "-m", "--config-name", "phase3_supervised", *arguments],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{repository}{os.pathsep}{plugins.parent}"},
    )  # fmt: skip
    with (tmp_path / "outputs" / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == ["0", "1", "2"]
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("trained_graph.zip"))
    if sweeper == "basic":
        assert done.returncode == 1  # no component
        assert written == ["outputs/0/trained_graph.zip", "outputs/1/trained_graph.zip"]
        assert [bool(row["failed"]) for row in rows] == [False, False, True]
        assert "Traceback" not in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert [float(row["watched"]) for row in rows] == [
            float(v) for v in done.stdout.partition("values:")[2].splitlines()[0].split()
        ]
        assert len(written) == 3
