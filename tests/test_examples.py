"""The shipped configurations of phases 1 and 2, and the scripts that run them."""

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from sklearn.metrics import roc_auc_score

from cuvis_ai.cli.configured_run import run_config
from cuvis_ai.data.lentils_anomaly import LentilsAnomaly
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipelines import unsupervised
from cuvis_ai.training.threshold import Threshold, stored_threshold
from tests.conftest import REPOSITORY
from tests.lentils import write_lentils
from tests.test_docs import run_script

CONFIGURATIONS = sorted(path.stem for path in (REPOSITORY / "cuvis_ai" / "conf").glob("*.yaml"))
SCRIPTS = {
    "phase1_statistical_training": "statistical_rx",
    "phase2_visualization_training": "visualized_rx",
    "phase3_gradient_training": "trainable_pca",
    "phase4_soft_channel_selector": "channel_selector",
}
"""Scripts in examples_torch, and the name of the graph that each of them trains."""
PICTURES = {
    "spectra/spectra",
    "components/scatter",
    "components/overview",
    "weights/components",
    "heatmap/heatmap",
    "histogram/histogram",
    "precision_recall/precision_recall",
    "precision_recall/roc",
}

Run = Callable[..., Graph]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a shipped configuration on small cubes of the Lentils form, in tmp_path."""
    folder = write_lentils(tmp_path / "Lentils", height=12, width=10, bands=9).folder
    monkeypatch.setenv("DATA_ROOT", str(folder))
    monkeypatch.chdir(tmp_path)

    def run(name: str, *overrides: str) -> Graph:
        with initialize_config_module("cuvis_ai.conf", version_base="1.3"):
            config = compose(name, [*overrides, "+training.trainer.enable_progress_bar=false"])
        return run_config(config).graph

    return run


def values_of(artifacts: Path) -> dict[str, float]:
    rows = [json.loads(line) for line in (artifacts / "metrics.jsonl").read_text().splitlines()]
    assert {(row["epoch"], row["stage"]) for row in rows} == {(0, "val")}
    return {row["name"].removeprefix("val/metric/"): row["value"] for row in rows}


def test_phase_1_fits_detects_and_saves(run: Run, tmp_path: Path) -> None:
    graph = run("phase1_config", "data=lentils")
    assert not list(graph.parameters())
    data = LentilsAnomaly(tmp_path / "Lentils")
    data.setup("fit")
    saved = Graph.load_from_file("outputs/trained_graph.zip")
    batches = list(data.val_dataloader())
    with torch.no_grad():
        scores = torch.cat([saved(one["cube"], valid=one.get("valid")).output.flatten() for one in batches])
    truth = torch.cat([one["mask"].flatten() for one in batches])
    known = scores.isfinite()
    found = values_of(tmp_path / "outputs" / "artifacts")
    assert found["anomaly_auroc"] == pytest.approx(roc_auc_score(truth[known], scores[known]), abs=1e-6)
    assert found["threshold"] == pytest.approx(
        float(scores[known].mean() + 2 * scores[known].std()), rel=1e-4
    )
    threshold = saved.leaves["threshold"]
    assert isinstance(threshold, Threshold)
    assert threshold.value == pytest.approx(found["threshold"], rel=1e-6)


def test_phase_1_needs_no_masks(run: Run, tmp_path: Path) -> None:
    """A folder of cubes and nothing else: values that need the truth are left out."""
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        (tmp_path / "cubes" / split).mkdir(parents=True)
        np.save(tmp_path / "cubes" / split / "one.npy", rng.normal(size=(9, 8, 6)).astype(np.float32))
    run("phase1_config", "data=folder", f"datamodule.data_dir={tmp_path / 'cubes'}")
    found = values_of(tmp_path / "outputs" / "artifacts")
    assert {"explained_variance_total", "score_mean", "threshold"} <= found.keys()
    assert "anomaly_auroc" not in found


@pytest.mark.parametrize("name", ["phase4_config", "phase4_bands"])
def test_phase_4_chooses_bands(name: str, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    overrides = ("training.trainer.max_epochs=4", "nodes.selector.n_select=4", "data=lentils")
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        graph = run(name, *overrides[: 2 if name == "phase4_config" else 3])
    assert "attached to `logit_head`, the last of" in caplog.text
    selector = graph.nodes["selector"]
    assert len(selector.selected_wavelengths) == 4
    assert selector.settled == (name == "phase4_bands")
    drawn = {path.parent.name for path in (tmp_path / "outputs").rglob("*.png")}
    assert {"temp_viz", "mask_viz", "stability_viz"} <= drawn


def test_detect_is_the_unsupervised_pipeline(run: Run, tmp_path: Path) -> None:
    graph, ready = run("detect", "data=lentils"), unsupervised()
    assert list(graph.topology.parents.items()) == list(ready.topology.parents.items())
    for name, node in ready.nodes.items():
        assert repr(graph.nodes[name]) == repr(node)
    expected = ready.leaves["threshold"].value
    assert float(graph.nodes["calibrated"].threshold) == pytest.approx(expected, rel=1e-6)
    found = values_of(tmp_path / "outputs" / "artifacts")
    assert {"anomaly_auroc", "score_mean"} <= found.keys()
    rated = run("detect", "data=lentils", "nodes.calibrated.false_alarm_rate=1e-2").nodes["calibrated"]
    assert stored_threshold(rated, ()) == pytest.approx(math.log(10), rel=1e-6)  # that a mask is made with
    assert run("detect", "data=lentils", "nodes.top_hat.extent=21").nodes["rx"].extent == 21


@pytest.mark.slow
def test_phase_2_draws_everything_and_says_where(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        run("phase2_config", "data=lentils")
    out = tmp_path / "outputs"
    drawn = out / "artifacts" / "pictures" / "val"
    for kind in ("png", "npz"):
        assert {
            path.relative_to(drawn).as_posix().removesuffix(f"_epoch_0000.{kind}")
            for path in drawn.rglob(f"*.{kind}")
        } == PICTURES
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count('<figure class="picture">') == len(PICTURES)
    assert len(list((out / "tensorboard").glob("*/events.out.tfevents.*"))) == 1
    for message in (
        "Values and pictures are in ./outputs/artifacts",
        "tensorboard --logdir=./outputs/tensorboard",
        "The report is outputs/report.html",
    ):
        assert message in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(("script", "graph"), SCRIPTS.items(), ids=SCRIPTS)
def test_help_of_a_script_shows_all_configurations_and_its_own(
    script: str, graph: str, tmp_path: Path
) -> None:
    done = run_script(f"python examples_torch/{script}.py --help", tmp_path)
    assert done.returncode == 0, done.stderr
    listed = [line.split()[0] for line in done.stdout.splitlines() if line]
    assert set(CONFIGURATIONS) - {"general"} <= set(listed)
    assert f"graph:\n  name: {graph}\n" in done.stdout
    assert "needs a plus in front" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("script", list(SCRIPTS)[:2])
def test_script_of_a_statistical_phase_runs(script: str, tmp_path: Path) -> None:
    done = run_script(f"python examples_torch/{script}.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "covariance of rank 3 of 3" in done.stdout
    with torch.no_grad():
        cube = torch.rand(1, 200, 4, 4)
        assert Graph.load_from_file(tmp_path / "outputs" / "trained_graph.zip")(cube).output.shape == (
            1,
            1,
            4,
            4,
        )


def test_every_script_is_listed_here() -> None:
    assert {path.stem for path in (REPOSITORY / "examples_torch").glob("*.py")} == SCRIPTS.keys()
