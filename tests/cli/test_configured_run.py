"""The run of a configuration: what it trains, prints and leaves behind."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from cuvis_ai.cli.configured_run import run_config
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.graph import Graph


def test_training_leaves_table_configuration_values_and_graph(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = run_config(OmegaConf.create(settings)).graph
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
        graph = run_config(OmegaConf.create({**settings, "ckpt_path": "last"})).graph
    metrics = tmp_path / "out" / "artifacts" / "metrics.jsonl"
    resumed = metrics.read_text()
    whole = run_config(OmegaConf.create({**settings, "ckpt_path": None})).graph
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
    graph = run_config(OmegaConf.create(settings)).graph
    assert not list(graph.named_parameters())
    printed = capsys.readouterr().out
    assert "metric/explained_variance_total" in printed
    assert "statistical phase" in printed
    assert "after training" not in printed


def test_configuration_with_problems_writes_nothing(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`trainig`: unknown key. Did you mean `training`?"):
        run_config(OmegaConf.create({**settings, "trainig": {}}))
    assert not (tmp_path / "out").exists()
