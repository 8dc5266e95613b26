"""Untrusted manifests and weights: each refusal says where and what."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from cuvis_ai.errors import ArchiveError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from fuzz.sealing import Contents, with_header
from tests.pipeline.saving.untrusted import Change, argument, changed, loaded, node, refused, with_tensors
from tests.pipeline.test_graph import small

MANIFESTS: list[tuple[str, Change, str]] = [
    ("newer format with other keys", lambda m: (m.clear(), m.update(format=3, graph={})), "Upgrade with"),
    ("format of another type", lambda m: m.update(format="1"), "manifest.format: expected an integer, got '1'"),
    ("surplus key", lambda m: m.update(code="x"), "expected the keys"),
    ("node given twice", lambda m: m["nodes"].append(m["nodes"][1]), "`trainable_pca` is given twice"),
    ("leaf named as a node", lambda m: m["leaves"][0].update(name="trainable_pca"), "`trainable_pca` is given twice"),
    ("cycle", lambda m: m["nodes"][0].update(parents=["trainable_pca"]), "the first node reads the cube and has no parent"),
    ("its own parent", node(parents=["trainable_pca"]), "not in this graph"),
    ("parents that are no list", node(parents="min_max_normalizer"), r"nodes\[1\].parents: expected a list"),
    ("name that torch uses", node(name="_modules"), "torch uses it for itself"),
    ("name with half a character", node(name="\ud800"), "damaged"),
    ("graph's name of another type", lambda m: m.update(name=7), "manifest.name: expected a string, got 7"),
    ("number as text", argument(n_components="3"), "node `trainable_pca`: `n_components`: expected an integer, got '3'"),
    ("list as number", argument(n_components=[3]), r"`n_components`: expected an integer, got \[3\]"),
    ("truth as number", argument(n_components=True), "`n_components`: expected an integer, got True"),
    ("text as truth", argument(trainable="no"), "`trainable`: expected true or false, got 'no'"),
    ("number beyond floats", argument(eps=10**400), "`eps`: expected a finite number"),
    ("unknown word", argument(orthogonal="x"), "`orthogonal`: expected 'soft' or 'hard', got 'x'"),
    ("other components than weights", argument(n_components=10**12), "expected weights for 1000000000000 channels, got 3"),
    ("leaf's argument", lambda m: m["leaves"][0]["arguments"].update(weight=[1]), r"leaf `orthogonality_loss`: `weight`"),
    ("missing argument", lambda m: m["nodes"][1].update(arguments={}), "`n_components`: missing"),
    ("infinite wavelength", lambda m: m.update(wavelengths=[float("inf")]), "Infinity is no number"),
    ("wavelength as text", lambda m: m.update(wavelengths=["400"]), r"manifest.wavelengths"),
    ("probe of many channels", lambda m: m["probe"].update(channels=10**12), "other channels"),
    ("probe of no output", lambda m: m["probe"].update(outputs={}), "another output"),
    ("very many nodes", lambda m: m.update(nodes=m["nodes"][:1] * 1001), "is given twice"),
    ("class of a long name", node(**{"class": "cuvis_ai.node." + "a" * 9999 + ":X"}), "at most 250 characters"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"), [row[1:] for row in MANIFESTS], ids=[row[0] for row in MANIFESTS]
)
def test_manifest_is_refused(whole: Contents, tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(ArchiveError, match=message) as caught:
        loaded(changed(whole, change), tmp_path)
    assert len(str(caught.value)) < 2000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        b'{"format": 1, "format": 1}',
        b'{"format": 1e999}',
        b'{"a":' * 10**5 + b"}" * 10**5,
        b"1" * 5000,
        b'"\xff"',
    ],
    ids=["doubled key", "infinite", "deep", "long number", "no UTF-8"],
)
def test_hostile_json_is_refused(whole: Contents, tmp_path: Path, text: bytes) -> None:
    refused(Contents(text, whole.weights).archive(), tmp_path)


def test_large_manifest_is_refused_unparsed(
    whole: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", None)
    assert "bytes of manifest" in refused(Contents(b" " * (2**20 + 1), whole.weights).archive(), tmp_path)


def test_more_than_a_thousand_parts_are_refused_unmade(whole: Contents, tmp_path: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["nodes"] = [{**manifest["nodes"][0], "name": f"n{i}"} for i in range(1001)]

    assert "at most 1000 nodes and leaves" in refused(changed(whole, change), tmp_path)


def test_large_argument_of_an_unfitted_node_takes_no_memory(tmp_path: Path) -> None:
    small().save_to_file(tmp_path / "graph.zip")
    unfitted = Contents.of((tmp_path / "graph.zip").read_bytes())
    pca = loaded(changed(unfitted, argument(n_components=10**12)), tmp_path).nodes["trainable_pca"]
    assert isinstance(pca, TrainablePCA)
    assert pca.n_components == 10**12
    assert pca.components.numel() == 0


def test_paths_that_double_at_each_node_are_followed_once(tmp_path: Path) -> None:
    class Counting(dict[str, Node]):
        asked = 0

        def __getitem__(self, name: str) -> Node:
            self.asked += 1
            return super().__getitem__(name)

    from cuvis_ai.normalization.normalization import MinMaxNormalizer

    graph = Graph()
    for i in range(40):
        graph.add_node(MinMaxNormalizer(), parent=[f"n{k}" for k in (i - 2, i - 1) if k >= 0], name=f"n{i}")
    nodes = Counting(graph._members.in_order())
    Execution(graph.topology, nodes).channels(("n39",))
    assert nodes.asked <= 40


TENSORS = [
    (
        "another shape",
        {"mean": torch.zeros(6)},
        r"mean: expected a shape \(c\) with k = 3, c = 7, got \(6,\)",
    ),
    ("too many axes", {"components": torch.zeros(1, 3, 7)}, r"components: expected a shape \(k c\)"),
    ("no axis", {"total_variance": torch.zeros(())}, r"total_variance: expected a shape \(1\)"),
    ("partly empty", {"mean": torch.zeros(0)}, "mean: expected a shape"),
    ("no number", {"mean": torch.zeros(0, 10**18)}, "mean: expected a shape"),
    (
        "whole numbers",
        {"mean": torch.zeros(7, dtype=torch.int64)},
        "mean: expected torch.float32, got torch.int64",
    ),
    ("complex numbers", {"mean": torch.zeros(7, dtype=torch.complex64)}, "got torch.complex64"),
    ("surplus tensor", {"more": torch.zeros(1)}, "surplus: nodes.trainable_pca.more"),
]


@pytest.mark.parametrize(
    ("tensors", "message"), [row[1:] for row in TENSORS], ids=[row[0] for row in TENSORS]
)
def test_weights_are_refused(
    whole: Contents, tmp_path: Path, tensors: dict[str, torch.Tensor], message: str
) -> None:
    with pytest.raises(ArchiveError, match=message):
        loaded(with_tensors(whole, **tensors), tmp_path)


def test_tensors_of_no_node_are_refused(whole: Contents, tmp_path: Path) -> None:
    weights = save(load(whole.weights) | {"other": torch.zeros(1)})
    assert "surplus: other" in refused(Contents(whole.manifest, weights).archive(), tmp_path)


def test_missing_tensors_are_refused(whole: Contents, tmp_path: Path) -> None:
    held = load(whole.weights)
    del held["nodes.trainable_pca.mean"]
    text = refused(Contents(whole.manifest, save(held)).archive(), tmp_path)
    assert "missing: nodes.trainable_pca.mean" in text


@pytest.mark.parametrize("field", [("shape", [2**40, 2**40]), ("shape", [-1]), ("dtype", "F6_E2M3"), ("dtype", "X"), ("data_offsets", [0, 2**63])], ids=str)  # fmt: skip
def test_absurd_header_is_refused(whole: Contents, tmp_path: Path, field: tuple[str, Any]) -> None:
    header, values = whole.header()
    header["nodes.trainable_pca.mean"][field[0]] = field[1]
    refused(Contents(whole.manifest, with_header(json.dumps(header).encode(), values)).archive(), tmp_path)


@pytest.mark.parametrize("length", [0, 2**20 + 1, 2**63, 2**64 - 1])
def test_false_length_of_the_header_is_refused(whole: Contents, tmp_path: Path, length: int) -> None:
    header, values = whole.header()
    weights = with_header(json.dumps(header).encode(), values, length)
    refused(Contents(whole.manifest, weights).archive(), tmp_path)
