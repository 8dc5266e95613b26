"""The probe tries a graph as it is used: with statistics that are derived, too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import ArchiveError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.saving.probe import probe
from fuzz.sealing import Contents
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, scoring
from tests.pipeline.saving.untrusted import loaded

Weights = dict[str, torch.Tensor]
Forgery = Callable[[dict[str, Any], Weights], object]


def trained(stats: str, dtype: torch.dtype = torch.float32) -> Graph:
    graph = scoring(stats=stats).to(dtype)
    graph.train(Batches(as_batches(random_cubes(8).to(dtype))), STATISTICS_ONLY)
    return graph


def forged(graph: Graph, folder: Path, change: Forgery) -> bytes:
    """Return the graph's archive with other arguments of RX and other weights, sealed again."""
    graph.save_to_file(folder / "graph.zip")
    contents = Contents.of((folder / "graph.zip").read_bytes())
    manifest, weights = contents.parsed(), load(contents.weights)
    [arguments] = [node["arguments"] for node in manifest["nodes"] if node["name"] == "rx"]
    change(arguments, weights)
    return Contents(json.dumps(manifest).encode(), save(weights)).archive()


def scaled(name: str, factor: float) -> Forgery:
    return lambda _, weights: weights.update({name: weights[name] * factor})


def all_as(dtype: torch.dtype) -> Forgery:
    return lambda _, weights: weights.update({name: value.to(dtype) for name, value in weights.items()})


def other_components(_: object, weights: Weights) -> None:
    """Of other bands: a factor or a rotation would change no score, since the statistics follow."""
    weights["nodes.pca.components"] = weights["nodes.pca.components"].roll(1, 1)


FORGERIES: list[tuple[str, str, Forgery, str]] = [
    ("moments times 4", "follow", scaled("nodes.rx.upstream_cov", 4), "another output"),
    ("mean times 1.1", "follow", scaled("nodes.rx.upstream_mean", 1.1), "another output"),
    ("a singular covariance", "follow", scaled("nodes.rx.upstream_cov", 0), "singular"),
    ("a ridge", "follow", lambda rx, _: rx.update(eps=1.0), "another output"),
    ("shrinkage", "follow", lambda rx, _: rx.update(shrinkage=0.5), "another output"),
    ("components upstream", "follow", other_components, "another output"),
    ("follow made frozen", "follow", lambda rx, _: rx.update(stats="frozen"), "do not fit each other"),
    ("frozen made follow", "frozen", lambda rx, _: rx.update(stats="follow"), "do not fit each other"),
    ("weights in float64", "frozen", all_as(torch.float64), "expected torch.float32, got torch.float64"),
    ("weights in bfloat16", "frozen", all_as(torch.bfloat16), "expected torch.float32, got torch.bfloat16"),
    ("weights in float16", "follow", all_as(torch.float16), "expected torch.float32, got torch.float16"),
]


@pytest.mark.parametrize(
    ("stats", "change", "message"), [row[1:] for row in FORGERIES], ids=[row[0] for row in FORGERIES]
)
def test_an_archive_that_scores_otherwise_is_refused(
    stats: str, change: Forgery, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ArchiveError, match=message):
        loaded(forged(trained(stats), tmp_path, change), tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_probe_gives_what_the_graph_gives(dtype: torch.dtype) -> None:
    graph = trained("follow", dtype)
    found = probe(graph._members.execution)
    assert found is not None
    low, high = (graph.state_dict()[f"nodes.norm.running_{end}"] for end in ("min", "max"))
    center = graph.nodes["norm"].affine().center  # type: ignore[operator]
    assert bool(((center >= low) & (center <= high)).all())
    ramp = torch.linspace(-1, 1, found["channels"], dtype=torch.float64).to(dtype)[None, :, None, None]
    assert graph(ramp).output.item() == pytest.approx(found["outputs"]["head"][0], rel=1e-4)


def test_a_large_map_upstream_is_not_composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As small files can ask for: then the graph is not tried, as others whose channels are too many."""
    graph = trained("follow")
    monkeypatch.setattr("cuvis_ai.pipeline.saving.probe._LARGEST_MAP", 1)
    assert probe(graph._members.execution) is not None  # no larger than the moments that are stored
    monkeypatch.setattr("cuvis_ai.pipeline.saving.probe._MOST_CHANNELS", 20)
    assert probe(graph._members.execution) is None


def test_moments_of_other_channels_than_enter_are_refused(tmp_path: Path) -> None:
    """Where no map lies between: then nothing else compares them."""
    graph = Graph()
    graph.add_node(RXGlobal(stats="follow"), name="rx")
    graph.train(Batches(as_batches(random_cubes(8))), STATISTICS_ONLY)

    def widen(_: object, weights: Weights) -> None:
        weights["nodes.rx.upstream_mean"] = torch.zeros(2, 9)
        weights["nodes.rx.upstream_cov"] = torch.stack([torch.eye(9), torch.zeros(9, 9)])

    with pytest.raises(ArchiveError, match=r"expected 9 channels .* got 7"):
        loaded(forged(graph, tmp_path, widen), tmp_path)
