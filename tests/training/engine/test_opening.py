"""What does not suit a run is refused before a monitor touches the files of the earlier one."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.monitors import DummyMonitor
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import settings
from tests.training.engine.test_trainer import pca_graph


class Measured(Batches):
    """Batches that know their bands, as the project's data modules do."""

    wavelengths = torch.linspace(400.0, 900.0, 7).tolist()


def data(shift: float = 0.0) -> Measured:
    batches = as_batches(random_cubes(4))
    found = Measured(batches, batches)
    found.wavelengths = [nm + shift for nm in Measured.wavelengths]
    return found


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """One that has been trained, with its record in a folder."""
    graph, _ = pca_graph()
    graph.register_monitor(DummyMonitor(output_dir=tmp_path))
    graph.train(data(), settings())
    return graph


def test_data_of_other_bands_leave_the_earlier_record_as_it_is(graph: Graph, tmp_path: Path) -> None:
    before = contents(tmp_path)
    assert before
    with pytest.raises(GraphError, match="data module: expected the 7 bands of training"):
        graph.train(data(shift=50.0), settings())
    assert contents(tmp_path) == before
    graph.train(data(), settings())  # the folder is free
    assert contents(tmp_path) != before


def test_a_watched_value_of_a_validation_that_is_not_there_does_as_well(graph: Graph, tmp_path: Path) -> None:
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="val_loss"):
        graph.train(Batches(as_batches(random_cubes(4))), settings(callbacks=[EarlyStopping("val_loss")]))
    assert contents(tmp_path) == before
