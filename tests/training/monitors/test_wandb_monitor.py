"""Weights & Biases: an offline run holds what was logged, read back with its own records."""

import logging
import socket
from pathlib import Path

import pytest

from cuvis_ai.errors import ConfigError
from cuvis_ai.training.monitors import Recorder, WandBMonitor
from tests.recorded_run import Kept, log_everything
from tests.wandb_files import fresh_wandb, history, offline_records, values_of

__all__ = ["fresh_wandb"]  # a fixture


@pytest.fixture(scope="module")
def wandb_records(recorded):
    return list(offline_records(recorded[0]))


def test_every_scalar_of_the_plain_file(metrics, wandb_records):
    values = history(wandb_records)
    for row in metrics:
        assert values[row["name"], row["step"]] == row["value"]


def test_each_value_is_drawn_over_its_axis(wandb_records):
    axes = {
        r.metric.name: r.metric.step_metric for r in wandb_records if r.WhichOneof("record_type") == "metric"
    }
    assert axes["val/loss/total"] == "epoch"
    assert axes["train/loss/total_step"] == "global_step"


def test_configuration_and_description(wandb_records):
    [run] = [r.run for r in wandb_records if r.WhichOneof("record_type") == "run"]
    assert (run.project, run.display_name, run.notes) == ("cuvis_ai_test", "small <graph>", "why")
    assert list(run.tags) == ["a", "b"]
    config = values_of(u for r in wandb_records for u in (*r.run.config.update, *r.config.update))
    assert config["optimizer"]["lr"] == 0.001
    assert config["nodes"]["trainable_pca"] == {"class": "TrainablePCA", "n_components": 3}
    assert config["data_set"] == {"cubes": 4, "share": 0.25}


def test_pictures_and_histograms(recorded, figures, histograms, wandb_records):
    values = history(wandb_records)
    for one in figures:
        logged = values[one.name, one.epoch]
        assert logged["_type"] == "image-file"
        assert list(recorded[0].rglob(Path(logged["path"]).name))
    for one in histograms:
        assert values[one.name, one.epoch]["values"] == one.counts.tolist()


def test_disabled_writes_nothing(fresh_wandb):
    kept = Kept()
    recorder = Recorder([WandBMonitor("project", mode="disabled"), kept])
    log_everything(recorder)
    assert len(recorder.monitors) == 2
    assert not list(fresh_wandb.rglob("*.wandb"))


def test_it_goes_offline_where_the_server_does_not_answer(fresh_wandb, monkeypatch, caplog):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        kept = Kept()
        recorder = Recorder([WandBMonitor("project", mode="online", timeout=3.0), kept])
        with caplog.at_level(logging.WARNING, "cuvis_ai"):
            log_everything(recorder)
    # wandb logs the same once more under its own name.
    [warning] = [one for one in caplog.records if one.name.startswith("cuvis_ai")]
    assert "records this run offline" in warning.getMessage()
    assert len(recorder.monitors) == 2
    assert history(offline_records(fresh_wandb))["val/loss/total", 2] == 0.5
    assert kept.of("log_scalars")


def test_it_refuses_an_unknown_mode():
    with pytest.raises(ConfigError, match="mode: expected online, offline, disabled, got 'dry'"):
        WandBMonitor("project", mode="dry")
