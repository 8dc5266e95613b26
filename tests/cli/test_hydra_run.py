"""Runs of Hydra configurations: how they end."""

from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf

from cuvis_ai.cli.hydra_run import run_or_exit
from cuvis_ai.pipeline.build import build
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainingConfig
from tests.cubes import Batches, as_batches, random_cubes


def test_an_error_that_the_user_can_put_right_ends_the_program_with_its_message(
    settings: dict[str, Any],
) -> None:
    with pytest.raises(SystemExit) as left:
        run_or_exit(OmegaConf.create({**settings, "trainig": {}}))
    assert left.value.code == "cuvis-ai: `trainig`: unknown key. Did you mean `training`?"


def composed(folder: Path, text: str, *overrides: str) -> DictConfig:
    """Compose a YAML file in a folder of a user's, beside the package's configurations."""
    (folder / "own.yaml").write_text(text)
    with hydra.initialize_config_dir(str(folder), version_base="1.3"):
        return hydra.compose("own", list(overrides))


IN_A_USERS_FOLDER = """
defaults:
  - phase1_config
  - monitoring: [report, tensorboard]
  - monitoring/wandb
  - _self_
hydra:
  searchpath: [pkg://cuvis_ai.conf]
"""


def test_monitoring_is_a_group(tmp_path: Path) -> None:
    cfg = composed(tmp_path, IN_A_USERS_FOLDER, f"output_dir={tmp_path}")
    assert list(cfg.monitoring) == ["dummy", "report", "tensorboard", "wandb"]
    kinds = [type(one).__name__ for one in build(plain(cfg)).graph.monitors]
    assert kinds == ["DummyMonitor", "ReportMonitor", "TensorBoardMonitor", "WandBMonitor"]


def plain(cfg: DictConfig) -> dict[str, Any]:
    found: Any = OmegaConf.to_container(cfg, resolve=True)
    return {key: value for key, value in found.items() if key != "hydra"}


OWN = """
nodes:
  ace: {_target_: cuvis_ai.target.ace.ACE, signature: [1.0, 3.0, -2.0, 0.5, 4.0, 9.0, 2.0]}
monitoring:
  files: {_target_: cuvis_ai.training.monitors.DummyMonitor, output_dir: "???"}
training:
  trainer: {max_epochs: 0, enable_progress_bar: false}
"""


def test_a_users_own_script_makes_the_parts_with_hydra(tmp_path: Path) -> None:
    """Lists come as OmegaConf's; what is made of them is saved like any other."""
    cfg = composed(tmp_path, OWN, f"monitoring.files.output_dir={tmp_path}")
    graph = Graph()
    graph.add_node(hydra.utils.instantiate(cfg.nodes.ace))
    graph.register_monitor(hydra.utils.instantiate(cfg.monitoring.files))
    cubes = random_cubes(4)
    graph.train(Batches(as_batches(cubes)), TrainingConfig.from_dict_config(cfg.training))
    graph.save_to_file(tmp_path / "graph.zip")
    loaded = Graph.load_from_file(tmp_path / "graph.zip")
    assert loaded(cubes).output.equal(graph(cubes).output)


@pytest.mark.parametrize("key", ["api_key", "WANDB_API_KEY", "token"])
def test_a_trackers_key_is_refused_with_its_variable(settings: dict[str, Any], key: str) -> None:
    monitor = {"_target_": "cuvis_ai.training.monitors.WandBMonitor", "project": "p", key: "0123456789"}
    with pytest.raises(SystemExit) as left:
        run_or_exit(OmegaConf.create({**settings, "monitoring": {"wandb": monitor}}))
    assert f"`monitoring.wandb.{key}`: expected no secret" in str(left.value.code)
    assert "WANDB_API_KEY" in str(left.value.code)
    assert "0123456789" not in str(left.value.code)
