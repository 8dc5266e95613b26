"""`cuvis-ai train`: Hydra's command line, and what a run of it leaves behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipelines import supervised
from tests.lentils import write_lentils

PROGRAM = Path(sys.executable).with_name("cuvis-ai")


@pytest.mark.slow
def test_train_takes_hydras_arguments(tmp_path: Path) -> None:
    """As a process of its own: Hydra sets up the logging of the whole process."""
    folder = write_lentils(tmp_path / "Lentils", height=12, width=10, bands=9).folder
    overrides = [
        "data=lentils",
        f"datamodule.data_dir={folder}",
        "nodes.pca.n_components=3",
        "training.trainer.max_epochs=1",
    ]
    done = subprocess.run(
        [PROGRAM, "train", "--config-name", "demo", *overrides],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "[INFO] Phase 1: Initializing statistical nodes..." in done.stdout
    saved = Graph.load_from_file(tmp_path / "outputs" / "trained_graph.zip")
    assert set(saved.nodes) == set(supervised().nodes)


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (
            ["--config-name", "demoo"],
            "--config-name: expected a configuration, got `demoo`. Did you mean `demo`?",
        ),
        (["--config-name", "xyz"], "got `xyz`. There are demo, "),
        (
            ["--config-name", "demo", "data=scen"],
            "data: expected a configuration, got `scen`. Did you mean `scene`?",
        ),
    ],
)
def test_a_mistyped_configuration_is_answered_with_the_nearest_one(
    tmp_path: Path, arguments: list[str], advice: str
) -> None:
    done = subprocess.run([PROGRAM, "train", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert advice in done.stderr
    assert len(done.stderr.splitlines()) == 1
