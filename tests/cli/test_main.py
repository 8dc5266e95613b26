"""The command `cuvis-ai`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

import cuvis_ai
from cuvis_ai.cli import main, run_config
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.graph import Graph
from tests.lentils import write_lentils

PROGRAM = Path(sys.executable).with_name("cuvis-ai")


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A configuration of one epoch on small cubes, whose files go to tmp_path / "out"."""
    write_lentils(tmp_path / "Lentils", height=12, width=10, bands=9)
    return {
        "nodes": {
            "normalizer": {"_target_": "cuvis_ai.normalization.normalization.MinMaxNormalizer"},
            "pca": {"_target_": "cuvis_ai.node.pca.TrainablePCA", "n_components": 3, "trainable": True},
        },
        "loss_leaves": {"orthogonality": {"_target_": "cuvis_ai.training.losses.OrthogonalityLoss"}},
        "metric_leaves": {"variance": {"_target_": "cuvis_ai.training.metrics.ExplainedVarianceMetric"}},
        "monitoring": {
            "dummy": {
                "_target_": "cuvis_ai.training.monitors.DummyMonitor",
                "output_dir": str(tmp_path / "out" / "artifacts"),
            }
        },
        "datamodule": {
            "_target_": "cuvis_ai.data.lentils_anomaly.LentilsAnomaly",
            "data_dir": str(tmp_path / "Lentils"),
        },
        "training": {"trainer": {"max_epochs": 1, "enable_progress_bar": False}},
        "output_dir": str(tmp_path / "out"),
    }


def exit_status(*arguments: str) -> int:
    """Run the command where argparse leaves the program; return its status."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert isinstance(left.value.code, int)
    return left.value.code


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("--version") == 0
    assert capsys.readouterr().out.strip() == cuvis_ai.__version__


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("--help") == 0
    printed = capsys.readouterr().out
    for command in ("train", "show", "convert"):
        assert f"    {command} " in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: command"),
        (["tarin"], "invalid choice: 'tarin'"),
        (["show"], "required: file"),
        (["convert", "session.cu3s"], "required: folder"),
        (["show", "a.zip", "--loud"], "unrecognized arguments: --loud"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(*arguments) == 2
    assert message in capsys.readouterr().err


def test_training_leaves_table_configuration_values_and_graph(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = run_config(OmegaConf.create(settings))
    out = tmp_path / "out"
    assert OmegaConf.load(out / "config.yaml") == settings
    rows = [json.loads(line) for line in (out / "artifacts" / "metrics.jsonl").read_text().splitlines()]
    assert {row["epoch"] for row in rows} == {0}
    # One run was recorded, although the statistical start was measured before it.
    assert not list(out.glob("artifacts/metrics.*.jsonl"))
    cube = torch.rand(1, 9, 4, 5)
    with torch.no_grad():
        assert torch.equal(Graph.load_from_file(out / "trained_graph.zip")(cube).output, graph(cube).output)
    printed = capsys.readouterr().out
    for part in ("statistical start", "after training", "metric/explained_variance_total"):
        assert part in printed


def test_save_to_says_where_the_graph_goes(settings: dict[str, Any], tmp_path: Path) -> None:
    run_config(OmegaConf.create({**settings, "save_to": str(tmp_path / "mine.zip")}))
    assert list(Graph.load_from_file(tmp_path / "mine.zip").nodes) == ["normalizer", "pca"]
    assert not (tmp_path / "out" / "trained_graph.zip").exists()


def test_training_goes_on_from_the_last_checkpoint(settings: dict[str, Any], tmp_path: Path) -> None:
    keep = {
        "_target_": "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
        "dirpath": str(tmp_path / "kept"),
    }
    settings["training"]["trainer"]["callbacks"] = [keep]
    for epochs in (1, 3):
        settings["training"]["trainer"]["max_epochs"] = epochs
        graph = run_config(OmegaConf.create({**settings, "ckpt_path": "last"}))
    metrics = tmp_path / "out" / "artifacts" / "metrics.jsonl"
    resumed = metrics.read_text()
    whole = run_config(OmegaConf.create({**settings, "ckpt_path": None}))
    assert metrics.read_text() == resumed
    assert all(torch.equal(a, b) for a, b in zip(graph.parameters(), whole.parameters(), strict=True))
    run_config(OmegaConf.create({**settings, "ckpt_path": "last"}))  # nothing is left to train
    assert metrics.read_text() == resumed


def test_an_output_folder_that_cannot_be_written_to_is_named(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="output_dir: expected a folder that can be written to"):
        run_config(OmegaConf.create({**settings, "output_dir": str(tmp_path / "file" / "below")}))


def test_statistics_alone_need_no_gradient_phase(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings["training"]["trainer"]["max_epochs"] = 0
    graph = run_config(OmegaConf.create(settings))
    assert not list(graph.named_parameters())
    printed = capsys.readouterr().out
    assert "metric/explained_variance_total" in printed
    assert "statistical phase" in printed
    assert "after training" not in printed


def test_configuration_with_problems_writes_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`trainig`: unknown key. Did you mean `training`?"):
        run_config(OmegaConf.create({**settings, "trainig": {}}))
    assert not (tmp_path / "out").exists()


def test_show_prints_the_structure_of_a_saved_graph(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = run_config(OmegaConf.create(settings))
    capsys.readouterr()
    assert main(["show", str(tmp_path / "out" / "trained_graph.zip")]) == 0
    assert capsys.readouterr().out == f"{graph!r}\n"


@pytest.mark.parametrize("content", [None, b"", b"no zip"], ids=["missing", "empty", "no zip"])
def test_show_names_a_file_that_is_no_graph(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "graph.zip"
    if content is not None:
        path.write_bytes(content)
    assert main(["show", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("cuvis-ai: ")
    assert str(path) in printed.err
    assert printed.out == ""


def test_convert_says_that_there_is_no_such_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(tmp_path / "none.cu3s"), str(tmp_path / "cubes")]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("cuvis-ai: ")
    assert str(tmp_path / "none.cu3s") in printed
    assert not (tmp_path / "cubes").exists()


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
    assert list(saved.nodes) == ["normalizer", "pca", "rx", "logit_head"]
