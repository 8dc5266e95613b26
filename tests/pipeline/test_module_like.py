"""What all methods of graphs have in common."""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError, GraphError, NotFittedError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.losses import AnomalyBCEWithLogits, OrthogonalityLoss
from cuvis_ai.training.threshold import Threshold
from tests.cubes import random_cubes
from tests.graphs import data, scoring, settings

OURS = (ConfigError, CubeFormatError, DatasetNotFoundError, GraphError, NotFittedError)
WRONG = [object(), nn.Identity(), b"x", [None], 3.5, torch.zeros(2, 2), torch.zeros(1, device="meta")]
"""Nothing that any argument can be."""

JUDGED_WITH_BANDS = {"wavelengths"}
"""Arguments that say nothing to a graph that was trained without wavelengths."""


def possible(folder: Path) -> Mapping[str, Any]:
    """Return an argument of each name that methods do not have a default for."""
    return {
        "node": RXGlobal(), "leaf": OrthogonalityLoss(), "parent": "pca", "monitor": None, "child": "rx",
        "datamodule": data(), "source": data(), "cube": random_cubes(), "outputs": ["rx"],
        "path": folder / "graph.zip", "out": folder / "share.safetensors", "files": [], "state_dict": {},
    }  # fmt: skip


def arguments() -> Iterator[tuple[str, str]]:
    """Yield the methods of a graph with the names of their arguments."""
    for method, function in inspect.getmembers(Graph, callable):
        if method == "__call__" or not (method.startswith("_") or method == "to"):
            for name, parameter in inspect.signature(function).parameters.items():
                free = (
                    parameter.annotation in ("Labels | None", Any) or parameter.kind is parameter.VAR_KEYWORD
                )
                if name not in {"self", "labels", "metadata", *JUDGED_WITH_BANDS} and not free:
                    yield method, name


@pytest.mark.parametrize(("method", "name"), list(arguments()))
def test_an_argument_of_another_type_is_refused_by_name(method: str, name: str, tmp_path: Path) -> None:
    graph, before = scoring(), repr(scoring())
    required = {
        key: possible(tmp_path)[key]
        for key, parameter in inspect.signature(getattr(graph, method)).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }
    for value in WRONG:
        with pytest.raises(OURS):
            getattr(graph, method)(**{**required, name: value})
    assert repr(graph) == before


@pytest.mark.parametrize("name", [2.5, None, object(), np.zeros(2)])
def test_a_graph_s_name_is_text(name: Any) -> None:
    with pytest.raises(ConfigError, match="Graph: `name`: expected a string"):
        Graph(name)


def test_a_number_as_a_name_is_taken_as_text(tmp_path: Path) -> None:
    Graph(5).save_to_file(tmp_path / "5.zip")
    assert Graph.load_from_file(tmp_path / "5.zip").name == "5"


@pytest.mark.parametrize("max_epochs", [0, 1])
def test_state_of_a_trained_graph_can_be_loaded_into_it(max_epochs: int) -> None:
    """What Lightning's validation sets, in inference mode, can be written to afterwards."""
    graph = scoring()
    graph.add_leaf_node(Threshold(), parent="head")
    graph.add_leaf_node(AnomalyBCEWithLogits(), parent="head")
    graph.train(data(), settings(max_epochs))
    state = {name: value.clone() for name, value in graph.state_dict().items()}
    graph.load_state_dict({name: value + 1 for name, value in state.items()})
    graph.load_state_dict(state)
    assert all(torch.equal(value, state[name]) for name, value in graph.state_dict().items())


@pytest.mark.parametrize("where", [torch.int64, "nowhere"])
def test_where_a_graph_cannot_be_moved_says_so(where: Any) -> None:
    graph = scoring()
    with pytest.raises(GraphError, match="to: expected a device that is here, or a floating-point dtype"):
        graph.to(where)
    assert graph.dtype == torch.float32
