"""A torch module as a node: what it computes, trains, and how it is saved."""

from pathlib import Path

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from cuvis_ai.errors import ArchiveError, ConfigError, GraphError
from cuvis_ai.node.torch import TorchNode
from cuvis_ai.pipeline.build import build
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import OptimizerConfig, TrainerConfig, TrainingConfig
from tests.cubes import Batches, as_batches, random_cubes
from tests.training.engine.test_optimizers import Energy


class Halved(nn.Module):
    """Keeps its argument under another name."""

    def __init__(self, channels: int, *, factor: float = 0.5) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels, 1, 1), factor))

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        return cube * self.scale


def trained(trainable: bool) -> tuple[nn.Conv2d, torch.Tensor]:
    convolution, graph = nn.Conv2d(7, 2, 3, padding="same"), Graph()
    before = convolution.weight.detach().clone()
    graph.add_leaf_node(Energy(), parent=graph.add_node(TorchNode(convolution, trainable=trainable)))
    config = TrainingConfig(
        trainer=TrainerConfig(max_epochs=2, enable_progress_bar=False), optimizer=OptimizerConfig(lr=0.01)
    )
    graph.train(Batches(as_batches(random_cubes(4))), config)
    return convolution, before


def test_its_parameters_are_trained_if_it_is_trainable() -> None:
    convolution, before = trained(True)
    assert not torch.equal(convolution.weight, before)
    convolution, before = trained(False)
    assert torch.equal(convolution.weight, before)


@pytest.mark.parametrize(
    "module",
    [nn.Conv2d(7, 3, 1, bias=False), nn.Conv2d(7, 7, (1, 3), padding=(0, 1), groups=7), nn.BatchNorm2d(7)],
)
def test_a_saved_graph_holds_it_and_loads_where_its_package_is_allowed(
    module: nn.Module, tmp_path: Path
) -> None:
    graph, cube = Graph(), random_cubes()
    graph.add_node(TorchNode(module))
    graph.save_to_file(tmp_path / "graph.zip")
    loaded = Graph.load_from_file(tmp_path / "graph.zip", allow=["torch.nn"])
    assert torch.equal(loaded(cube).output, graph(cube).output)
    with pytest.raises(ArchiveError, match="If you trust that package"):
        Graph.load_from_file(tmp_path / "graph.zip")


def test_arguments_that_no_attribute_tells_are_asked_for_and_used(tmp_path: Path) -> None:
    graph = Graph()
    graph.add_node(TorchNode(Halved(7)))
    with pytest.raises(ArchiveError, match="expected the arguments that Halved was made with"):
        graph.save_to_file(tmp_path / "graph.zip")
    graph = Graph()
    graph.add_node(TorchNode(Halved(7, factor=0.25), {"channels": 7, "factor": 0.25}))
    graph.save_to_file(tmp_path / "graph.zip")
    loaded = Graph.load_from_file(tmp_path / "graph.zip", allow=["tests"])
    assert torch.equal(loaded(random_cubes()).output, random_cubes() / 4)


def test_a_configuration_describes_the_module(tmp_path: Path) -> None:
    described = {
        "_target_": "cuvis_ai.node.torch.TorchNode",
        "module": {"_target_": f"{__name__}.Halved", "channels": 7},
        "trainable": True,
    }
    config = {
        "nodes": {"halved": described},
        "datamodule": {"_target_": "cuvis_ai.data.cube_folder.CubeFolder", "data_dir": str(tmp_path)},
    }
    node = build(config, allow=["tests"]).graph.nodes["halved"]
    assert torch.equal(node(random_cubes()), random_cubes() / 2)
    assert node.arguments == {"channels": 7}
    with pytest.raises(ConfigError, match="`nodes.halved`: class path .*If you trust that package"):
        build(config)
    by_hydra = hydra.utils.instantiate(OmegaConf.create(described))
    assert torch.equal(by_hydra(random_cubes()), random_cubes() / 2)


@pytest.mark.parametrize("module", [nn.Conv2d(7, 2, 3), nn.Flatten()])
def test_what_is_no_cube_is_refused_by_name(module: nn.Module) -> None:
    graph = Graph()
    graph.add_node(TorchNode(module), name="net")
    with pytest.raises(GraphError, match=r"TorchNode `net`: expected \w+ to return a cube"):
        graph(random_cubes())


def test_a_file_cannot_name_a_class_that_is_no_module() -> None:
    config = {
        "nodes": {
            "net": {
                "_target_": "cuvis_ai.node.torch.TorchNode",
                "module": {"_target_": "subprocess.Popen", "args": "id"},
            }
        }
    }
    with pytest.raises(ConfigError, match="`nodes.net`: class path .*expected a Module, got Popen"):
        build(config, allow=["subprocess"])
