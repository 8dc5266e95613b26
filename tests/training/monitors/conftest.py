"""One run that went to all monitors at once."""

import json

import pytest

from cuvis_ai.training.monitors import DummyMonitor, ReportMonitor, TensorBoardMonitor, WandBMonitor
from tests.recorded_run import Kept, fitted_graph, record


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """The folder of the run, and what a monitor of a user's own was given."""
    import wandb

    folder, kept = tmp_path_factory.mktemp("run"), Kept()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_DIR", str(folder))
        wandb.teardown()
        monitors = [
            DummyMonitor(folder / "artifacts"),
            ReportMonitor(folder / "artifacts"),
            TensorBoardMonitor(folder / "tensorboard", flush_secs=30),
            WandBMonitor("cuvis_ai_test", tags=["a", "b"], notes="why", mode="offline"),
            kept,
        ]
        recorder = record(fitted_graph(), monitors)
    assert recorder.monitors == monitors, "none was left out"
    return folder, kept


@pytest.fixture(scope="session")
def folder(recorded):
    """The folder with plain files and the report."""
    return recorded[0] / "artifacts"


@pytest.fixture(scope="session")
def metrics(folder):
    """The rows of `metrics.jsonl`."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="session")
def figures(recorded):
    """All pictures that were drawn."""
    return [one for many in recorded[1].of("log_figures") for one in many]


@pytest.fixture(scope="session")
def histograms(recorded):
    """All histograms that were counted."""
    return [one for many in recorded[1].of("log_histograms") for one in many]
