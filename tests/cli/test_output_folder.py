"""The output folder: places are tried before data are read, and nothing that is there is overwritten."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from cuvis_ai.cli.configured_run import run_config
from cuvis_ai.data.loading.dataset import CubeDataset
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.graph import Graph

KEEP = {"_target_": "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint", "filename": "last_epoch"}


def contents(folder: Path, *, besides: str = "nothing") -> dict[str, bytes]:
    """Return the files of a folder; locks and records aside."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in found if besides not in path.parts
    }


@pytest.fixture
def full(settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The settings of a run that writes every kind of file below "out"."""
    settings["monitoring"]["report"] = {
        "_target_": "cuvis_ai.training.monitors.ReportMonitor",
        "output_dir": str(tmp_path / "out"),
    }
    settings["training"]["trainer"]["callbacks"] = [{**KEEP, "dirpath": str(tmp_path / "out" / "kept")}]
    return settings


def aside(out: Path) -> Path:
    [folder] = out.glob("earlier_*")
    return folder


def test_a_second_run_moves_aside_all_that_the_first_one_wrote(full: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_config(OmegaConf.create(full))
    first = contents(out)
    assert {"config.yaml", "trained_graph.zip", "overview.png", "report.html", "artifacts/metrics.jsonl", "kept/last_epoch.ckpt"} <= first.keys()  # fmt: skip
    mine = out / "kept" / "notes.txt"
    mine.write_text("mine")
    # The second one writes neither a report nor a checkpoint.
    del full["monitoring"]["report"], full["training"]["trainer"]["callbacks"]
    run_config(OmegaConf.create(full))
    assert contents(aside(out)) == first
    assert mine.read_text() == "mine"
    assert not (out / "report.html").exists()
    assert not list((out / "kept").glob("*.ckpt"))
    assert (out / "trained_graph.zip").exists()


def test_a_run_that_goes_on_moves_nothing(full: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_config(OmegaConf.create(full))
    for ckpt_path in ("last", str(out / "kept" / "last_epoch.ckpt")):
        full["training"]["trainer"]["max_epochs"] += 1
        run_config(OmegaConf.create({**full, "ckpt_path": ckpt_path}))
    assert not list(out.glob("earlier_*"))
    full["training"]["trainer"]["max_epochs"] += 1
    elsewhere = tmp_path / "a.ckpt"
    (out / "kept" / "last_epoch.ckpt").rename(elsewhere)
    run_config(OmegaConf.create({**full, "ckpt_path": str(elsewhere)}))
    assert (aside(out) / "trained_graph.zip").exists()  # another run's checkpoint: not this folder's run


def test_files_that_no_run_wrote_stay(full: dict[str, Any], tmp_path: Path) -> None:
    """A configuration stays where it is; another file that is in the way is moved aside, not lost."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.yaml").write_text("# my notes\n")
    (out / "overview.png").write_text("my picture")
    (tmp_path / "mine.zip").write_text("named outside")
    full |= {"save_to": str(tmp_path / "mine.zip")}
    for _ in range(2):
        run_config(OmegaConf.create(full))
        assert (out / "config.yaml").read_text() == "# my notes\n"
        assert OmegaConf.load(out / "config.resolved.yaml") == full
    first, second = sorted(out.glob("earlier_*"), key=lambda path: path.stat().st_ctime_ns)
    assert contents(first) == {"overview.png": b"my picture"}
    assert {"config.resolved.yaml", "overview.png", "kept/last_epoch.ckpt"} <= contents(second).keys()
    assert list(Graph.load_from_file(tmp_path / "mine.zip").nodes) == ["normalizer", "pca"]


def test_a_record_that_names_places_elsewhere_moves_nothing_there(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "mine").write_text("mine")
    (out / ".cuvis_ai_run.json").write_text(f'["../mine", "{tmp_path}/mine", 7, "a/../../mine"]')
    run_config(OmegaConf.create(settings))
    assert (tmp_path / "mine").read_text() == "mine"
    assert not list(out.glob("earlier_*"))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails if a cube is read."""

    def read(*args: object) -> None:
        raise AssertionError("a cube was read")

    with monkeypatch.context() as patched:
        patched.setattr(CubeDataset, "__getitem__", read)
        yield


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    "place", ["save_to: a folder", "save_to: below a file", "output_dir", "monitor", "callback"]
)
def test_a_place_that_cannot_be_written_to_is_said_before_data_are_read_and_files_are_moved(
    place: str, full: dict[str, Any], tmp_path: Path
) -> None:  # fmt: skip
    out = tmp_path / "out"
    out.mkdir()
    (out / "trained_graph.zip").write_text("of an earlier run")
    (tmp_path / "file").write_text("")
    below = str(tmp_path / "file" / "below")
    message = "expected a folder that can be written to"
    if place.startswith("save_to"):
        full["save_to"] = str(out) if place.endswith("folder") else f"{below}/a.zip"
        message = "save_to: expected a file that can be written"
    elif place == "output_dir":
        full["output_dir"] = below
    elif place == "monitor":
        full["monitoring"]["report"]["output_dir"] = below
    else:
        full["training"]["trainer"]["callbacks"][0]["dirpath"] = below
    with pytest.raises(ConfigError, match=message):
        run_config(OmegaConf.create(full))
    assert (out / "trained_graph.zip").read_text() == "of an earlier run"
    assert not (out / "config.yaml").exists()


@pytest.mark.parametrize("name", ["phase1_config", "phase2_config", "phase3_config", "phase3_supervised", "demo"])  # fmt: skip
def test_output_dir_moves_all_outputs_of_a_shipped_configuration(name: str) -> None:
    """No other setting names a folder to write to."""
    with initialize_config_module("cuvis_ai.conf", version_base="1.3"):
        here, there = (
            OmegaConf.to_yaml(compose(name, overrides), resolve=True)
            for overrides in ([], ["output_dir=elsewhere"])
        )
    assert "./outputs" in here
    assert here.replace("./outputs", "elsewhere") == there
    assert "outputs" not in there


def test_the_watched_value_is_the_callbacks_or_the_total_loss(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    finished = run_config(OmegaConf.create(settings))
    assert finished.watched == finished.values["val/loss/total"]
    name = "val/metric/explained_variance_total"
    settings["training"]["trainer"]["callbacks"] = [
        {**KEEP, "dirpath": str(tmp_path / "kept"), "monitor": name}
    ]
    finished = run_config(OmegaConf.create(settings))
    assert finished.watched == finished.values[name] == pytest.approx(torch.load(tmp_path / "kept" / "last_epoch.ckpt", weights_only=True)["callbacks"].popitem()[1]["current_score"])  # fmt: skip
    del settings["loss_leaves"], settings["training"]["trainer"]["callbacks"]
    settings["training"]["trainer"]["max_epochs"] = 0
    assert run_config(OmegaConf.create(settings)).watched is None
