"""Two processes on torch.distributed give what one gives."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import json, sys, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import OptimizerConfig, TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import AnomalyBCEWithLogits, OrthogonalityLoss
from cuvis_ai.training.metrics import AnomalyDetectionMetrics, ExplainedVarianceMetric, ScoreStatisticsMetric
from cuvis_ai.leaf.pooled_loss import PooledLoss
from cuvis_ai.leaf.reading import Read
from cuvis_ai.training.monitors import DummyMonitor

class Variation(PooledLoss):
    def reads(self):
        return frozenset({Read.OUTPUT})
    def sums(self, view):
        scores = view[Read.OUTPUT].double()
        return torch.stack([torch.ones_like(scores).sum(), scores.sum(), scores.square().sum()])
    def of_sums(self, sums):
        n, total, squares = sums.unbind()
        return squares / n - (total / n).square()

if __name__ == "__main__":
    folder, devices, epochs = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(3, trainable=True), parent=norm)
    rx = graph.add_node(RXGlobal(), parent=pca)
    head = graph.add_node(RXLogitHead(), parent=rx)
    graph.add_leaf_node(AnomalyBCEWithLogits(pos_weight="balanced"), parent=head)
    graph.add_leaf_node(OrthogonalityLoss(), parent=pca)
    graph.add_leaf_node(Variation(), parent=rx)
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    graph.add_leaf_node(AnomalyDetectionMetrics(), parent=rx)
    graph.add_leaf_node(ScoreStatisticsMetric(), parent=rx)
    graph.register_monitor(DummyMonitor(folder / f"run{devices}"))
    trainer = graph.train(
        CubeFolder(folder / "cubes", batch_size=1, seed=0),
        TrainingConfig(
            trainer=TrainerConfig(
                max_epochs=epochs, accelerator="cpu", devices=devices, enable_progress_bar=False,
                strategy="ddp" if devices > 1 else "auto",
            ),
            optimizer=OptimizerConfig(name="sgd", lr=0.01),
        ),
    )
    if trainer.is_global_zero:
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        state = {name: tensor.tolist() for name, tensor in graph.state_dict().items()}
        (folder / f"values{devices}.json").write_text(json.dumps({"values": values, "state": state}))
"""


def write_cubes(folder: Path, n: dict[str, int]) -> None:
    import numpy as np

    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(7, 7))
    for split, count in n.items():
        (folder / split).mkdir(parents=True)
        for i in range(count):
            values = generator.normal(size=(6, 5, 7)) @ mixing + 10
            mask = generator.random((6, 5)) < 0.2
            mask[0, 0] = True
            np.save(folder / split / f"{split}{i}.npy", values.astype(np.float32))
            np.save(folder / split / f"{split}{i}_mask.npy", mask)


def run(
    repository: Path, folder: Path, devices: int, epochs: int, text: str = SCRIPT
) -> dict[str, dict[str, object]]:
    script = folder / "script.py"
    script.write_text(text)
    done = subprocess.run(
        [sys.executable, script, repository, folder, str(devices), str(epochs)],
        capture_output=True, text=True, timeout=300, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, dict[str, object]] = json.loads((folder / f"values{devices}.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("n_val", [3, 1])
def test_statistics_and_metrics_of_two_ranks_are_those_of_one(
    repository: Path, tmp_path: Path, n_val: int
) -> None:
    """Five cubes and three (or a single one, so that a rank has none) do not divide by two."""
    write_cubes(tmp_path / "cubes", {"train": 5, "val": n_val})
    one, two = (run(repository, tmp_path, devices, 0) for devices in (1, 2))
    assert one["values"].keys() == two["values"].keys()
    assert one["values"] == pytest.approx(two["values"], rel=1e-6, abs=1e-9)
    flat = [_flat(found["state"]) for found in (one, two)]
    assert flat[0] == pytest.approx(flat[1], rel=1e-6, abs=1e-6)
    rows = [(tmp_path / f"run{d}" / "metrics.jsonl").read_text().count("\n") for d in (1, 2)]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_two_ranks_train_and_agree_on_the_epochs_values(repository: Path, tmp_path: Path) -> None:
    write_cubes(tmp_path / "cubes", {"train": 5, "val": 3})
    found = run(repository, tmp_path, 2, 2)
    assert {"val/loss/bce", "val/metric/anomaly_auroc", "train/loss/total"} <= found["values"].keys()
    names = [
        json.loads(row)["name"] for row in (tmp_path / "run2" / "metrics.jsonl").read_text().splitlines()
    ]
    assert names.count("val/loss/total") == 2


CHOOSING = SCRIPT.replace(
    "pca = graph.add_node(TrainablePCA(3, trainable=True), parent=norm)",
    """from cuvis_ai.node.selector import SoftChannelSelector
    from cuvis_ai.training.losses import SelectorDiversityRegularizer
    chosen = graph.add_node(SoftChannelSelector(4, temperature_decay=None), parent=norm)
    graph.add_leaf_node(SelectorDiversityRegularizer(), parent=chosen)
    pca = graph.add_node(TrainablePCA(3, trainable=True), parent=chosen)""",
)


@pytest.mark.slow
def test_two_ranks_choose_the_bands_that_one_chooses_and_anneal_alike(
    repository: Path, tmp_path: Path
) -> None:
    write_cubes(tmp_path / "cubes", {"train": 5, "val": 3})
    one, two = (run(repository, tmp_path, devices, 0, CHOOSING) for devices in (1, 2))
    flat = [_flat(found["state"]) for found in (one, two)]
    assert flat[0] == pytest.approx(flat[1], rel=1e-6, abs=1e-6)
    trained = run(repository, tmp_path, 2, 5, CHOOSING)
    assert trained["state"]["nodes.soft_channel_selector.temperature"] == pytest.approx(0.1)
    assert [row[0] for row in trained["state"]["nodes.soft_channel_selector.history"]] == [-1, 0, 1, 2, 3, 4]


DYING = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.metrics import ExplainedVarianceMetric
from pathlib import Path

class Dies(Callback):
    def __init__(self, how):
        self.how = how
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.current_epoch == 1 and trainer.global_rank == (0 if "rank 0" in self.how else 1):
            print("dies", flush=True)
            if "killed" in self.how:
                os.kill(os.getpid(), 9)
            if "SIGTERM" in self.how:
                os.kill(os.getpid(), 15)
            raise RuntimeError("this rank is broken")

if __name__ == "__main__":
    folder, how = Path(sys.argv[2]), sys.argv[3]
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3, trainable=True))
    graph.add_leaf_node(OrthogonalityLoss(), parent=pca)
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    callbacks = [Dies(how), ModelCheckpoint(folder / "kept")]
    trainer = TrainerConfig(
        max_epochs=3, accelerator="cpu", devices=2, strategy="ddp", enable_progress_bar=False, callbacks=callbacks,
    )
    graph.train(CubeFolder(folder / "cubes", batch_size=1, seed=0), TrainingConfig(trainer=trainer))
"""


@pytest.mark.slow
@pytest.mark.parametrize("started_by", ["lightning", "torchrun"])
@pytest.mark.parametrize("how", ["rank 1 raises", "rank 1 is killed", "rank 0 raises", "rank 0 gets SIGTERM"])
def test_a_rank_that_dies_ends_the_run_with_an_error(
    how: str, started_by: str, repository: Path, tmp_path: Path
) -> None:
    """Within a minute, where a hang would last for the half hour that torch waits for a rank."""
    write_cubes(tmp_path / "cubes", {"train": 4, "val": 2})
    script = tmp_path / "script.py"
    script.write_text(DYING)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    process = subprocess.Popen(
        [sys.executable, *(launcher if started_by == "torchrun" else []), script, repository, tmp_path, how],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line == "dies\n":
            break
    died = time.monotonic()
    printed.append(process.communicate(timeout=120)[0])
    seconds = time.monotonic() - died
    print(f"{how}, started by {started_by}: over after {seconds:.0f} s")
    assert seconds < 60
    assert process.returncode != 0
    assert "raises" not in how or "this rank is broken" in "".join(printed)
    if "SIGTERM" in how and started_by == "lightning":
        assert process.returncode == 143
    [kept] = (tmp_path / "kept").glob("*.ckpt")
    assert kept.name.startswith("epoch=0-")


def _flat(state: dict[str, object]) -> list[float]:
    found: list[float] = []

    def collect(value: object) -> None:
        if isinstance(value, list):
            for item in value:
                collect(item)
        else:
            found.append(float(value))  # type: ignore[arg-type]

    collect(list(state.values()))
    return found


WEIGHTS_ALONE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import OrthogonalityLoss

if __name__ == "__main__":
    graph = Graph()
    graph.add_leaf_node(OrthogonalityLoss(), parent=graph.add_node(TrainablePCA(3, trainable=True)))
    settings = TrainerConfig(
        max_epochs=2, accelerator="cpu", devices=2, strategy="ddp", enable_progress_bar=False
    )
    trainer = graph.train(CubeFolder(sys.argv[2], batch_size=1), TrainingConfig(trainer=settings))
    if trainer.is_global_zero:
        Path(sys.argv[3]).write_text(str(trainer.global_step))
"""


@pytest.mark.slow
def test_ranks_take_their_share_of_steps_where_no_cube_is_read(repository: Path, tmp_path: Path) -> None:
    """Eight cubes, two ranks, two epochs: four steps an epoch, not two, which is what a second sharing gives."""
    write_cubes(tmp_path / "cubes", {"train": 8, "val": 2})
    (tmp_path / "script.py").write_text(WEIGHTS_ALONE)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", repository, tmp_path / "cubes", tmp_path / "steps"],
        capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert (tmp_path / "steps").read_text() == "8"
