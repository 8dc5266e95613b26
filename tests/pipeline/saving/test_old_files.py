"""Archives and checkpoints that earlier code wrote: they load, compute the same, and resume."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cuvis_ai.pipeline.build import build
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.monitors import ReportMonitor
from tests.fixtures.format_1.graphs import GRAPHS, RESUMED, data_module, training

FOLDER = Path(__file__).parents[2] / "fixtures" / "format_1"
PROBE_TOLERANCE = 1e-3  # of the greatest value, as `check_probe` has it


def _part(stored: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}


@pytest.mark.parametrize("name", GRAPHS)
def test_archive_of_earlier_code_loads_and_computes_the_same(name: str) -> None:
    stored = load_file(FOLDER / f"{name}.safetensors")
    graph = Graph.load_from_file(FOLDER / f"{name}.zip")
    state = graph.state_dict()
    expected = _part(stored, "state.")
    rests = state.keys() - expected.keys()  # came later
    assert rests == {key for key in state if key.endswith("_rest")}
    assert not any(state.pop(key).any() for key in rests)
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(state[key], value), key
    outputs = _part(stored, "output.")
    with torch.no_grad():
        found = graph.run(stored["cube"], list(outputs))
    for key, value in outputs.items():
        assert (found[key] - value).abs().max() <= PROBE_TOLERANCE * value.abs().max(), key


@pytest.mark.parametrize("name", GRAPHS)
def test_archive_of_earlier_code_has_every_part_of_its_graph(name: str) -> None:
    graph, expected = Graph.load_from_file(FOLDER / f"{name}.zip"), GRAPHS[name]()
    assert graph.topology.parents == expected.topology.parents
    assert graph.topology.leaves == expected.topology.leaves
    for modules, others in ((graph.nodes, expected.nodes), (graph.leaves, expected.leaves)):
        assert {key: repr(module) for key, module in modules.items()} == {
            key: repr(module) for key, module in others.items()
        }


@pytest.mark.filterwarnings("ignore:The dirpath has changed")  # the checkpoint was written elsewhere
@pytest.mark.parametrize("name", RESUMED)
def test_checkpoint_of_earlier_code_resumes_to_the_same_weights(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    checkpoint = FOLDER / f"{name}.ckpt"
    trainer = graph.train(data_module(), training(epochs=3, folder=tmp_path), ckpt_path=checkpoint)
    assert (trainer.current_epoch, trainer.global_step) == (3, 9)
    for key, value in load_file(FOLDER / f"{name}_resumed.safetensors").items():
        found, expected = graph.state_dict()[key], value
        if key.endswith(".whitening"):  # L is determined up to a rotation, LᵀL is not
            found, expected = found.T @ found, expected.T @ expected
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, msg=key)


def test_configuration_of_earlier_code_names_the_report_where_it_was(tmp_path: Path) -> None:
    """As the configurations of earlier versions wrote it."""
    built = build(
        {
            "nodes": {"normalizer": {"_target_": "cuvis_ai.normalization.normalization.MinMaxNormalizer"}},
            "monitoring": {
                "report": {
                    "_target_": "cuvis_ai.training.report.ReportMonitor",
                    "output_dir": str(tmp_path),
                }
            },
            "datamodule": {
                "_target_": "cuvis_ai.data.lentils_anomaly.LentilsAnomaly",
                "data_dir": str(tmp_path),
            },
        }
    )
    [monitor] = built.graph.monitors
    assert isinstance(monitor, ReportMonitor)
