"""What is saved can be loaded; what cannot be is refused, and the file before it stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cuvis_ai.errors import ArchiveError
from cuvis_ai.node.base import Node
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.losses import OrthogonalityLoss
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, scoring
from tests.pipeline.test_graph import fitted


class Gain(Node):
    """A node of a user's own that draws a random number when it is made."""

    def __init__(self, gain: float = 2.0) -> None:
        super().__init__()
        self.gain = gain
        self.drawn = float(torch.rand(()))

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        return cube * self.gain


def of_a_local_class(graph: Graph) -> None:
    class Local(Gain): ...

    graph.add_node(Local(), parent="trainable_pca")


def put(name: str, **attributes: Any) -> Callable[[Graph], object]:
    return lambda graph: [setattr(graph.nodes[name], key, value) for key, value in attributes.items()]


def half_of_it_in_float64(graph: Graph) -> None:
    graph.nodes["trainable_pca"].double()


def negative_weight(graph: Graph) -> None:
    leaf = graph.leaves["orthogonality_loss"]
    assert isinstance(leaf, OrthogonalityLoss)
    leaf.weight = -1.0


REFUSED: list[tuple[str, Callable[[Graph], object], str]] = [
    ("a name that is no text", lambda g: setattr(g, "name", 5), r"manifest\.name: expected a string, got 5"),
    ("a name of half a character", lambda g: setattr(g, "name", "a\ud800"), "damaged"),
    ("a name of an odd type", lambda g: setattr(g, "name", {1}), "cannot be saved"),
    ("float16", lambda g: g.to(torch.float16), r"dtype: expected 'float32' or 'float64', got 'float16'"),
    ("bfloat16", lambda g: g.to(torch.bfloat16), "got 'bfloat16'"),
    ("two types", half_of_it_in_float64, r"trainable_pca\.\w+: expected torch\.float32, got torch\.float64"),
    ("an argument that was changed", put("trainable_pca", n_components=2), "expected weights for 2 channels, got 3"),
    ("an argument of another type", put("trainable_pca", orthogonal=1), "cannot be saved"),
    ("a leaf's argument that was changed", negative_weight, "weight: expected 0 or more, got -1"),
    ("a class that has no path", of_a_local_class, "cannot be saved"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_could_not_be_loaded_is_not_saved(
    saved: Path, change: Callable[[Graph], object], message: str
) -> None:
    before = saved.read_bytes()
    graph = fitted()
    change(graph)
    with pytest.raises(ArchiveError, match=message) as caught:
        graph.save_to_file(saved)
    assert "cannot be saved" in str(caught.value)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("stats", ["frozen", "follow"])
def test_scores_of_any_size_are_saved_in_both_types(tmp_path: Path, dtype: torch.dtype, stats: str) -> None:
    """In float64 scores of 1e60 are finite; they are beyond float32, torch's default."""
    graph = scoring(stats=stats).to(dtype)
    graph.train(Batches(as_batches(random_cubes(8).to(dtype))), STATISTICS_ONLY)
    if dtype == torch.float64 and stats == "frozen":
        graph.nodes["rx"].whitening *= 1e30  # type: ignore[operator]
    graph.save_to_file(tmp_path / "graph.zip")
    loaded = Graph.load_from_file(tmp_path / "graph.zip")
    cube = random_cubes(seed=5).to(dtype)
    assert loaded.dtype == dtype
    assert torch.equal(loaded(cube).output, graph(cube).output)


def test_buffers_that_share_their_memory_are_saved(tmp_path: Path) -> None:
    graph = Graph()
    node = graph.add_node(MinMaxNormalizer())
    node.set_state(running_min=torch.zeros(4), running_max=torch.ones(4))
    both = torch.arange(8.0)
    node.running_min, node.running_max = both[:4], both[4:]
    graph.save_to_file(tmp_path / "graph.zip")
    held = Graph.load_from_file(tmp_path / "graph.zip").state_dict()
    assert held["nodes.min_max_normalizer.running_max"].tolist() == [4, 5, 6, 7]


def test_trying_the_file_draws_no_random_numbers(tmp_path: Path) -> None:
    graph = Graph()
    graph.add_node(Gain())
    state = torch.get_rng_state()
    graph.save_to_file(tmp_path / "graph.zip")
    assert torch.equal(torch.get_rng_state(), state)


def test_an_interrupted_save_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while what was written is being tried."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before, graph = saved.read_bytes(), fitted()
    monkeypatch.setattr("cuvis_ai.pipeline.saving.graph_file.check_probe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        graph.save_to_file(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
