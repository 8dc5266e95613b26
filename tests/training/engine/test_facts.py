"""What monitors are told of the graph, of its weights and of the data."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import nn
from torch.utils.data import DataLoader

from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.engine.facts import dataset_facts, outline_of, weights_and_gradients
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.monitors import OutlineNode
from tests.cubes import Batches, as_batches, random_cubes
from tests.recorded_run import execution_of


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


def test_data_are_described_by_a_table_of_what_is_known() -> None:
    assert dataset_facts(TwoSplits()).splitlines() == [
        "| fact | value |",
        "|---|---|",
        "| data module | TwoSplits |",
        "| train | batches: 3, samples: 5 |",
        "| val | batches: 1 |",
        "| bands | 3, 430.0–700.0 nm |",
    ]


def test_an_empty_split_and_unknown_bands_are_left_out() -> None:
    assert dataset_facts(Batches(as_batches(random_cubes(4)))).splitlines()[2:] == [
        "| data module | Batches |",
        "| train | batches: 2, samples: 2 |",
    ]
