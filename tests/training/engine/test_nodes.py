"""Two machines, started by torchrun on one machine's loopback: gradients and statistics of one process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader
from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.node.decoder import PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import OptimizerConfig, TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import (
    AnomalyBCEWithLogits, MSEReconstructionLoss, OrthogonalityLoss, WeightedMultiLoss,
)
from cuvis_ai.training.metrics import AnomalyDetectionMetrics, ExplainedVarianceMetric

class Gradients(Callback):
    def __init__(self):
        self.steps = []
    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.steps.append({n: p.grad.tolist() for n, p in module.named_parameters() if p.requires_grad})

class Foreign(LightningDataModule):
    def __init__(self, folder, batch_size):
        super().__init__()
        self.items, self.batch_size = torch.load(folder / "items.pt"), batch_size
    def train_dataloader(self):
        return DataLoader(self.items, batch_size=self.batch_size)

def graph_of(combined):
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(3, trainable=True), parent=norm)
    rx = graph.add_node(RXGlobal(stats="follow"), parent=pca)
    head = graph.add_node(RXLogitHead(), parent=rx)
    decoder = graph.add_node(PCADecoder(tied_to=pca.name), parent=pca)
    losses = [
        graph.add_leaf_node(AnomalyBCEWithLogits(pos_weight="balanced"), parent=head),
        graph.add_leaf_node(MSEReconstructionLoss(weight=2.0), parent=decoder),
        graph.add_leaf_node(OrthogonalityLoss(weight=0.5), parent=pca),
    ]
    if combined:
        graph.add_leaf_node(WeightedMultiLoss(losses, learnable=True), parent=pca)
    graph.add_leaf_node(AnomalyDetectionMetrics(), parent=rx)
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    return graph

if __name__ == "__main__":
    folder, nodes = Path(sys.argv[2]), int(sys.argv[3])
    found = {}
    for name, precision in (("folder", "32"), ("foreign", "32"), ("folder", "64"), ("foreign", "64"), ("folder", "no epochs")):
        gradients = Gradients()
        each = 2 // nodes  # two cubes a step, over all ranks
        data = CubeFolder(folder / "cubes", batch_size=each, seed=0) if name == "folder" else Foreign(folder, each)
        trainer = graph_of(combined=name == "foreign").train(data, TrainingConfig(
            trainer=TrainerConfig(
                max_epochs=0 if precision == "no epochs" else 2, accelerator="cpu", devices=1, num_nodes=nodes,
                strategy="ddp", precision="32" if precision == "no epochs" else precision,
                callbacks=[gradients], enable_progress_bar=False,
            ),
            optimizer=OptimizerConfig(name="sgd", lr=1e-2),
        ))
        values = {key: float(value) for key, value in trainer.callback_metrics.items()}
        found[f"{name} {precision}"] = {"steps": gradients.steps, "values": values}
    if trainer.is_global_zero:
        (folder / f"found{nodes}.json").write_text(json.dumps(found))
"""


def write(folder: Path) -> None:
    """Five cubes, an odd number, with invalid pixels in different numbers: all of the first one's."""
    import numpy as np

    from tests.training.engine.test_ranks import write_cubes

    write_cubes(folder / "cubes", {"train": 5, "val": 3})
    items = []
    for i in range(5):
        path = folder / "cubes" / "train" / f"train{i}.npy"
        cube = np.load(path)
        cube[: 6 if i == 0 else i] = np.nan
        np.save(path, cube)
        cube = torch.from_numpy(cube).permute(2, 0, 1)
        mask = torch.from_numpy(np.load(path.with_name(f"train{i}_mask.npy")))
        items.append({"cube": cube.nan_to_num(), "mask": mask, "valid": cube.isfinite().all(0)})
    torch.save(items[:4], folder / "items.pt")  # a foreign loader's repeated samples would count


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def run(repository: Path, folder: Path, nodes: int) -> dict[str, Any]:
    """Run the script on so many nodes, each started by a torchrun of its own."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    port = free_port()
    started = [
        subprocess.Popen(
            [
                sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", f"--node-rank={node}",
                "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}",
                script, repository, folder, str(nodes),
            ],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
            env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        )
        for node in range(nodes)
    ]  # fmt: skip
    printed = [one.communicate()[0] for one in started]
    assert [one.returncode for one in started] == [0] * nodes, "\n".join(printed)[-6000:]
    found: dict[str, Any] = json.loads((folder / f"found{nodes}.json").read_text())
    return found


def distance(got: Any, expected: Any) -> float:
    """Return how far two arrays are from each other, relative to the second one's norm."""
    a, b = (torch.tensor(values, dtype=torch.float64) for values in (got, expected))
    return float((a - b).norm() / b.norm())


@pytest.mark.slow
def test_two_nodes_have_the_gradients_and_values_of_one_process(repository: Path, tmp_path: Path) -> None:
    """In one process a batch is the two that the ranks read together; it counts each valid pixel once."""
    write(tmp_path)
    one, two = (run(repository, tmp_path, nodes) for nodes in (1, 2))
    steps = {name: len(expected["steps"]) for name, expected in one.items()}
    assert steps == {"folder 32": 6, "foreign 32": 4, "folder 64": 6, "foreign 64": 4, "folder no epochs": 0}
    for name, expected in one.items():
        distances = [
            distance(got[parameter], values)
            for got, wanted in zip(two[name]["steps"], expected["steps"], strict=True)
            for parameter, values in wanted.items()
        ]
        print(
            f"{name}: gradients of {len(distances)} parameters and steps, {max(distances, default=0):.1e} apart"
        )
        assert all(d <= (1e-6 if "64" in name else 1e-5) for d in distances)
        assert two[name]["values"] == pytest.approx(expected["values"], rel=2e-5, abs=1e-7), name
