"""Lightning's loggers as monitors: what reaches MLflow's local files, and what a configuration may ask for."""

from pathlib import Path

import pytest
import yaml
from lightning.pytorch.loggers import CSVLogger

from cuvis_ai.errors import ConfigError
from cuvis_ai.training.monitors import LoggerMonitor, Recorder
from tests.recorded_run import RUN, Kept, fitted_graph, log_everything, record


def logged_by(monitor: LoggerMonitor) -> dict[tuple[str, int], float]:
    """Return the values of a recorded run of the monitor, by name and step."""
    kept = Kept()
    recorder = record(fitted_graph(leaves=False), [monitor, kept])
    assert len(recorder.monitors) == 2, "the monitor was left out"
    return {(one.name, one.step): one.value for rows in kept.of("log_scalars") for one in rows}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # MLflow's own
def test_mlflow_holds_every_value_and_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="needs mlflow or mlflow-skinny")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv(
        "MLFLOW_ALLOW_FILE_STORE", "true"
    )  # releases that have databases by default ask for it
    store = f"file:{tmp_path / 'mlruns'}"
    logged = logged_by(LoggerMonitor("MLFlowLogger", {"experiment_name": "rx", "tracking_uri": store}))
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("rx")
    [run] = client.search_runs([experiment.experiment_id])
    held = {
        (name, int(one.step)): one.value
        for name in run.data.metrics
        for one in client.get_metric_history(run.info.run_id, name)
    }
    assert held == pytest.approx(logged)
    assert held
    assert run.info.status == "FINISHED"
    assert run.data.params


def test_settings_are_the_runs_hyper_parameters(tmp_path: Path) -> None:
    recorder = Recorder([LoggerMonitor(CSVLogger(str(tmp_path), name="rx"))])
    log_everything(recorder)
    assert recorder.monitors, "the monitor was left out"
    [written] = tmp_path.glob("rx/version_0/hparams.yaml")
    assert RUN.settings.items() <= yaml.safe_load(written.read_text()).items()


def test_each_run_gets_a_logger_of_its_own(tmp_path: Path) -> None:
    monitor = LoggerMonitor("CSVLogger", {"save_dir": str(tmp_path), "name": "rx"})
    logged_by(monitor)
    logged_by(monitor)
    assert sorted(path.name for path in tmp_path.glob("rx/*")) == ["version_0", "version_1"]


@pytest.mark.parametrize(
    ("logger", "arguments", "message"),
    [
        ("Logger", {}, "expected `logger` among .*CSVLogger.*, got 'Logger'"),
        ("os", {}, "got 'os'"),
        ("CometLogger", {"api_key": "x"}, "without keys of accounts, got `api_key`"),
        ("NeptuneLogger", {"Token": "x"}, "without keys of accounts, got `Token`"),
        (CSVLogger("."), {"name": "x"}, "Give them to the logger itself"),
    ],
)
def test_refused(logger: str, arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LoggerMonitor(logger, arguments)
