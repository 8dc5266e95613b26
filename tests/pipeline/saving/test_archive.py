"""Saved graphs: what a file holds, and which it refuses to be made of."""

import importlib
import json
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from cuvis_ai.errors import ArchiveError
from cuvis_ai.leaf.bases import Leaf
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.saving.archive import CLOSED, HOMES
from fuzz.sealing import Contents
from tests.cases import DECODERS, LEAVES, NODES
from tests.cubes import random_cubes
from tests.pipeline.saving.untrusted import Change, changed, loaded, refused
from tests.pipeline.saving.untrusted import node as replace_node
from tests.pipeline.test_graph import fitted, small


def test_loads_in_a_new_process_with_equal_bits(saved: Path, tmp_path: Path) -> None:
    cube = random_cubes(seed=5)
    torch.save(cube, tmp_path / "cube.pt")
    code = (
        "import sys, torch; from cuvis_ai.pipeline.graph import Graph;"
        "torch.set_num_threads(1);"
        "cube = torch.load(sys.argv[2], weights_only=True);"
        "torch.save(Graph.load_from_file(sys.argv[1])(cube).output, sys.argv[3])"
    )
    subprocess.run([sys.executable, "-c", code, saved, tmp_path / "cube.pt", tmp_path / "out.pt"], check=True)
    expected = Graph.load_from_file(saved)(cube).output
    assert torch.equal(torch.load(tmp_path / "out.pt", weights_only=True), expected)


def test_holds_a_manifest_and_safetensors_and_nothing_else(saved: Path) -> None:
    with zipfile.ZipFile(saved) as file:
        assert file.namelist() == ["manifest.json", "weights.safetensors"]
        manifest = json.loads(file.read("manifest.json"))
    assert [node["class"] for node in manifest["nodes"]] == [
        "cuvis_ai.normalization.normalization:MinMaxNormalizer",
        "cuvis_ai.node.pca:TrainablePCA",
    ]
    assert manifest["nodes"][1]["arguments"] == {
        "n_components": 3,
        "trainable": True,
        "whiten": False,
        "eps": 1e-6,
        "orthogonal": "soft",
        "at_most": False,
    }
    assert manifest["nodes"][1]["parents"] == ["min_max_normalizer"]
    assert manifest["leaves"][0]["parent"] == "trainable_pca"


def test_unfitted_and_float64_graphs_are_saved_too(tmp_path: Path) -> None:
    small().save_to_file(tmp_path / "a.zip")
    assert "[not fitted]" in repr(Graph.load_from_file(tmp_path / "a.zip"))
    graph = fitted().to(torch.float64)
    graph.save_to_file(tmp_path / "b.zip")
    cube = random_cubes(dtype=torch.float64)
    assert torch.equal(Graph.load_from_file(tmp_path / "b.zip")(cube).output, graph(cube).output)


def test_the_same_graph_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    Graph.load_from_file(saved).save_to_file(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == saved.read_bytes()


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    graph = Graph()
    graph.add_node(TrainablePCA(3)).eps = float("inf")
    with pytest.raises(ArchiveError, match="TrainablePCA `trainable_pca`: cannot be saved"):
        graph.save_to_file(tmp_path / "graph.zip")
    assert not any(tmp_path.iterdir())


FORGERIES = [
    ("newer format", lambda m: m.update(format=2), "format: expected 1, got 2"),
    ("class outside", replace_node(**{"class": "subprocess:Popen"}), "expected a class of cuvis_ai"),
    ("class after a prefix", replace_node(**{"class": "cuvis_ai.pipeline.saving.archive:zipfile.ZipFile"}), "form"),
    ("not a node", replace_node(**{"class": "cuvis_ai.training.losses:OrthogonalityLoss"}), "expected a Node"),
    ("module of no nodes", replace_node(**{"class": "cuvis_ai.pipeline.build:Built"}), "expected a class of cuvis_ai"),
    ("imported class", replace_node(**{"class": "cuvis_ai.node.pca:AffineNode"}), "is defined in `cuvis_ai.node.base.node`"),
    ("abstract class", replace_node(**{"class": "cuvis_ai.node.base:Node"}), "expected a Node"),
    ("no such module", replace_node(**{"class": "cuvis_ai.node.nowhere:X"}), "no module"),
    ("surplus argument", replace_node(arguments={"n_components": 3, "x": 1}), "node `trainable_pca`: `x`: no such argument"),
    ("wrong type", replace_node(arguments={"n_components": "three"}), "node `trainable_pca`: `n_components`: expected an integer, got 'three'"),
    ("impossible value", replace_node(arguments={"n_components": 0}), "n_components"),
    ("unknown parent", replace_node(parents=["nobody"]), "not in this graph"),
    ("second root", replace_node(parents=[]), "second root"),
    ("wrong leaf parent", lambda m: m["leaves"][0].update(parent="min_max_normalizer"), "with components"),
    ("fewer components", replace_node(arguments={"n_components": 2}), "untrusted.zip"),
    ("no manifest of ours", lambda m: m.clear(), "does not describe a graph"),
    ("nodes of another type", lambda m: m.update(nodes=7), "does not describe a graph"),
    ("other probe", lambda m: m["probe"]["outputs"].update(trainable_pca=[1.0, 2.0, 3.0]), "another output"),
    ("absurd dtype", lambda m: m.update(dtype="object"), "does not describe a graph"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"), [row[1:] for row in FORGERIES], ids=[row[0] for row in FORGERIES]
)
def test_forged_manifests_are_refused(whole: Contents, tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        loaded(changed(whole, change), tmp_path)


OF_OWN_FILE = """
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.training.losses import OrthogonalityLoss
from cuvis_ai.training.metrics import ExplainedVarianceMetric
from cuvis_ai.training.visualizations import ComponentPlot

class Projection(TrainablePCA): ...
class Penalty(OrthogonalityLoss): ...
class Variance(ExplainedVarianceMetric): ...
class Plot(ComponentPlot): ...
"""
"""A file with a node and leaves; what they are derived from does not matter."""


def graph_of(module: Any) -> Graph:
    graph = Graph("own")
    pca = graph.add_node(module.Projection(2))
    for leaf in (module.Penalty(weight=0.5), module.Variance(), module.Plot()):
        graph.add_leaf_node(leaf, parent=pca)
    return graph


@pytest.mark.parametrize(
    "name",
    [
        "cuvis_ai.training.losses_of_more_kinds",
        "cuvis_ai.training.losses.another",
        "cuvis_ai.training.visualizations.another",
        "cuvis_ai.node.another",
        "cuvis_ai.anomaly.another",
        "cuvis_ai.normalization.another",
    ],
)
def test_nodes_and_leaves_of_a_new_file_of_ours_are_saved_and_loaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType(name)
    exec(OF_OWN_FILE, module.__dict__)
    monkeypatch.setitem(sys.modules, name, module)
    graph = graph_of(module)
    graph.save_to_file(tmp_path / "graph.zip")
    assert repr(Graph.load_from_file(tmp_path / "graph.zip")) == repr(graph)


def test_nodes_and_leaves_of_a_users_package_are_saved_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package_of_a_user" / "losses"
    package.mkdir(parents=True)
    (package / "new.py").write_text(OF_OWN_FILE)
    monkeypatch.syspath_prepend(tmp_path)
    graph = graph_of(importlib.import_module("package_of_a_user.losses.new"))
    graph.save_to_file(tmp_path / "graph.zip")
    with pytest.raises(ArchiveError, match=r"allow=\['package_of_a_user'\]"):
        Graph.load_from_file(tmp_path / "graph.zip")
    again = Graph.load_from_file(tmp_path / "graph.zip", allow=["package_of_a_user"])
    assert repr(again) == repr(graph)


@pytest.mark.parametrize("path", [*CLOSED, "cuvis_ai.cli", "cuvis_ai.data", "cuvis_ai.pipeline"])
def test_other_folders_of_ours_are_refused_unimported(
    path: str, whole: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.import_module", None)
    for module in (path, f"{path}.anything"):
        text = refused(
            changed(whole, lambda m, c=f"{module}:X": m["nodes"][0].update({"class": c})), tmp_path
        )  # type: ignore[misc]
        assert "expected a class of cuvis_ai.anomaly" in text


def test_what_a_file_can_have_imported_takes_no_seconds() -> None:
    """A file names any module of the folders; each alone must bring none of the packages that take seconds."""
    code = (
        "import importlib, pkgutil, sys\n"
        "from cuvis_ai.pipeline.saving.archive import CLOSED, HOMES\n"
        "for home in HOMES:\n"
        "    pending = [home]\n"
        "    while pending:\n"
        "        module = importlib.import_module(pending.pop())\n"
        "        paths = pkgutil.iter_modules(getattr(module, '__path__', []), module.__name__ + '.')\n"
        "        pending += [path.name for path in paths if path.name not in CLOSED]\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {
        "lightning",
        "hydra",
        "plotly",
        "tensorboard",
        "wandb",
        "torchmetrics",
        "sklearn",
        "spectral",
    }


def test_every_node_and_leaf_of_ours_lives_where_files_may_look() -> None:
    made: list[Node | Leaf] = [case.make() for case in (*NODES, *DECODERS, *LEAVES)]
    paths = {f"{type(one).__module__}." for one in made}
    homes, closed = (tuple(f"{folder}." for folder in folders) for folders in (HOMES, CLOSED))
    assert not [path for path in paths if not path.startswith(homes) or path.startswith(closed)]


def test_class_outside_is_refused_unimported(
    whole: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marker_of_archive.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    text = refused(changed(whole, replace_node(**{"class": "marker_of_archive:Bad"})), tmp_path)
    assert "allow=['marker_of_archive']" in text
    assert "marker_of_archive" not in sys.modules
