"""What monitors are told of the graph, of its weights and of the data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import nn
from torch.utils.data import DataLoader

from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.engine.facts import (
    data_arguments,
    dataset_facts,
    outline_of,
    weights_and_gradients,
)
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.monitors import OutlineNode
from cuvis_ai.training.monitors.records import flattened
from tests.cubes import Batches, as_batches, random_cubes
from tests.recorded_run import Kept, execution_of


def test_outline_has_each_node_before_what_reads_it_and_leaves_last() -> None:
    graph = Graph()
    graph.add_node(MinMaxNormalizer(eps=0.5), name="norm")
    graph.add_node(TrainablePCA(2), parent="norm", name="first")
    graph.add_leaf_node(OrthogonalityLoss(weight=2.0), parent="first", name="loss")
    graph.add_node(TrainablePCA(3, whiten=True), parent=["first", "norm"], name="second")
    nodes = outline_of(execution_of(graph), graph.leaves).nodes
    assert [(node.name, node.kind, node.parents, node.is_leaf) for node in nodes] == [
        ("norm", "MinMaxNormalizer", (), False),
        ("first", "TrainablePCA", ("norm",), False),
        ("second", "TrainablePCA", ("first", "norm"), False),
        ("loss", "OrthogonalityLoss", ("first",), True),
    ]
    assert nodes[-1] == OutlineNode(
        name="loss", kind="OrthogonalityLoss", arguments={"weight": "2.0"}, parents=("first",), is_leaf=True
    )
    assert nodes[0].arguments["eps"] == "0.5"


def test_weights_are_of_what_is_trained_and_gradients_where_there_are_any() -> None:
    module = nn.ParameterDict(
        {
            "used": nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.bfloat16)),
            "unused": nn.Parameter(torch.tensor([3.0])),
            "fixed": nn.Parameter(torch.tensor([4.0]), requires_grad=False),
        }
    )
    module["used"].square().sum().backward()
    found = weights_and_gradients(module.named_parameters())
    assert {name: values.tolist() for name, values in found.items()} == {
        "train/weight/used": [1.0, 2.0],
        "train/gradient/used": [2.0, 4.0],
        "train/weight/unused": [3.0],
    }
    assert all(values.dtype == np.float32 for values in found.values())


class TwoSplits(LightningDataModule):
    """Has bands, and no data to test on."""

    wavelengths = (430.04, 500.0, 700.0)

    def train_dataloader(self) -> Any:
        return DataLoader(list(range(5)), batch_size=2)

    def val_dataloader(self) -> Any:
        return [{"cube": random_cubes(1)}]


def test_data_are_described_by_what_is_known() -> None:
    assert dataset_facts(TwoSplits()) == {
        "data module": "TwoSplits",
        "train": "batches: 3, samples: 5",
        "val": "batches: 1",
        "bands": "3, 430.0–700.0 nm",
    }


def test_an_empty_split_and_unknown_bands_are_left_out() -> None:
    assert dataset_facts(Batches(as_batches(random_cubes(4)))) == {
        "data module": "Batches",
        "train": "batches: 2, samples: 2",
    }


def test_a_folder_is_described_with_its_files_pixels_and_anomalies(tmp_path: Path) -> None:
    for name in "abc":
        np.save(tmp_path / f"{name}.npy", np.ones((6, 5, 4), dtype=np.float32))
    mask = np.zeros((6, 5), dtype=bool)
    mask[0, :3] = True
    np.save(tmp_path / "a_mask.npy", mask)
    (tmp_path / "splits.json").write_text('{"train": ["a", "b"], "val": ["c"]}')
    facts = dataset_facts(CubeFolder(tmp_path))
    assert facts["files"] == ", ".join(str(tmp_path / f"{name}.npy") for name in "abc")
    assert (facts["train pixels"], facts["val pixels"]) == (60, 30)
    assert (facts["train anomalies"], facts["train share of anomalies"]) == (3, 3 / 60)
    assert facts["bands"] == "4, wavelengths unknown"


def test_runs_differ_in_what_monitors_are_told_of_nodes_leaves_and_data(tmp_path: Path) -> None:
    """Two runs of a sweep over an argument of a node must not be equal rows in a tracker."""
    np.save(tmp_path / "a.npy", random_cubes(1, 6, 8, 8)[0].permute(1, 2, 0).numpy())
    settings = []
    for n in (2, 3):
        graph, told = Graph(), Kept()
        graph.add_node(TrainablePCA(n), name="pca")
        graph.add_leaf_node(OrthogonalityLoss(weight=2.0), parent="pca", name="loss")
        graph.register_monitor(told)
        quiet = TrainerConfig(max_epochs=0, accelerator="cpu", enable_progress_bar=False)
        graph.train(CubeFolder(tmp_path, batch_size=1), TrainingConfig(trainer=quiet))
        settings.append(flattened(told.of("setup")[0].settings))
    assert [one["nodes.pca.n_components"] for one in settings] == [2, 3]
    assert settings[0]["leaves.loss.weight"] == 2.0
    assert settings[0]["data.data_dir"] == str(tmp_path)
    assert settings[0]["data.batch_size"] == 1
    added = {
        key: value for key, value in settings[0].items() if key.startswith(("nodes.", "leaves.", "data."))
    }
    assert json.loads(json.dumps(added)) == added, "trackers take plain values alone"


class OfArrays(TwoSplits):
    def __init__(self, cubes: Any, scale: float) -> None:
        super().__init__()
        self.cubes = cubes
        self.save_hyperparameters({"scale": scale})


def test_of_data_in_memory_the_shape_is_told() -> None:
    arguments = data_arguments(OfArrays([np.zeros((2, 3, 4))] * 30, 0.5))
    assert arguments["class"] == "OfArrays"
    assert arguments["scale"] == 0.5
    assert arguments["cubes"] == [*["ndarray (2, 3, 4)"] * 20, "… 30 in all"]
