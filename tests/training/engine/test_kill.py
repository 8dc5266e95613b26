"""A training script that is killed at random moments and started again ends as one that was left alone."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.engine.test_ranks import write_cubes

KILLS = int(os.environ.get("CUVIS_AI_KILLS", "3"))
"""How often the script is killed; the long mode is 20."""
EPOCHS = 40

SCRIPT = f"""
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import logging
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
import torch
torch.set_num_threads(1)
from lightning.pytorch.callbacks import ModelCheckpoint
from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import OptimizerConfig, SchedulerConfig, TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import AnomalyBCEWithLogits, OrthogonalityLoss
from cuvis_ai.training.metrics import AnomalyDetectionMetrics, ExplainedVarianceMetric
from cuvis_ai.training.monitors import DummyMonitor

cubes, out = Path(sys.argv[2]), Path(sys.argv[3])
graph = Graph()
norm = graph.add_node(MinMaxNormalizer())
pca = graph.add_node(TrainablePCA(3, trainable=True), parent=norm)
rx = graph.add_node(RXGlobal(stats="follow"), parent=pca)
head = graph.add_node(RXLogitHead(), parent=rx)
graph.add_leaf_node(AnomalyBCEWithLogits(pos_weight="balanced"), parent=head)
graph.add_leaf_node(OrthogonalityLoss(), parent=pca)
graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
graph.add_leaf_node(AnomalyDetectionMetrics(), parent=head)
graph.register_monitor(DummyMonitor(out))
print("training", flush=True)
graph.train(
    CubeFolder(cubes, batch_size=2, seed=0),
    TrainingConfig(
        trainer=TrainerConfig(
            max_epochs={EPOCHS}, accelerator="cpu", deterministic=True, log_every_n_steps=1,
            enable_progress_bar=False, callbacks=[
                ModelCheckpoint(out / "checkpoints", save_last=True, monitor="val/loss/total"),
            ],
        ),
        optimizer=OptimizerConfig(lr=0.05),
        scheduler=SchedulerConfig(patience=0, factor=0.5),
    ),
    ckpt_path="last",
)
torch.save(graph.state_dict(), out / "weights.pt")
print("done", flush=True)
"""


def start(repository: Path, folder: Path, out: Path) -> subprocess.Popen[str]:
    """Start the script; return it when `graph.train` is about to begin."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, script, repository, folder / "cubes", out],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
    )  # fmt: skip
    assert process.stdout is not None
    assert any(line == "training\n" for line in process.stdout), "the script did not come to its training"
    return process


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_one_left_alone(repository: Path, tmp_path: Path) -> None:
    import torch

    write_cubes(tmp_path / "cubes", {"train": 6, "val": 2})
    whole = start(repository, tmp_path, tmp_path / "whole")
    began = time.perf_counter()
    printed = whole.communicate(timeout=300)[0]
    seconds = time.perf_counter() - began
    assert printed.endswith("done\n"), printed[-4000:]
    weights = torch.load(tmp_path / "whole" / "weights.pt", weights_only=True)
    rows = (tmp_path / "whole" / "metrics.jsonl").read_text()
    rates = {row["value"] for row in map(json.loads, rows.splitlines()) if "learning_rate" in row["name"]}
    assert len(rates) > 1, "the learning rate should change, to be part of what is compared"

    moments, kills, runs, resumed = random.Random(7), 0, 0, 0
    while True:
        out = tmp_path / f"run{runs}"
        enough = kills >= KILLS and resumed
        if (out / "weights.pt").exists():
            if enough:
                break
            runs += 1  # it came to its end too early
            continue
        process = start(repository, tmp_path, out)
        if not enough:
            time.sleep(moments.uniform(0, seconds / 2))
            process.kill()
        printed = process.communicate(timeout=300)[0]
        kills += process.returncode == -9
        assert process.returncode in (0, -9), printed[-4000:]
        # What a checkpoint holds is not fitted again.
        assert ("Going on from" in printed) + ("Phase 1: Initializing" in printed) <= 1
        resumed += "Going on from" in printed
    for run in range(runs + 1):
        got = torch.load(tmp_path / f"run{run}" / "weights.pt", weights_only=True)
        assert got.keys() == weights.keys()
        assert all(torch.equal(got[name], weights[name]) for name in weights)
        assert (tmp_path / f"run{run}" / "metrics.jsonl").read_text() == rows
    print(f"{kills} kills, {resumed} times resumed, {runs + 1} runs of {seconds:.1f} s")
