"""Saved graphs: whole or refused, atomic, and without code."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from cuvis_ai.errors import ArchiveError
from cuvis_ai.pipeline.graph import Graph
from tests.cubes import random_cubes
from tests.pipeline.test_graph import fitted, small


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "graph.zip"
    fitted().save_to_file(path)
    return path


def rewritten(path: Path, change: Any, *, members: Any = None, compress: int = zipfile.ZIP_STORED) -> Path:
    """Write the file again with another manifest, sealed as a forger would."""
    with zipfile.ZipFile(path) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    manifest = json.loads(contents["manifest.json"])
    change(manifest)
    contents["manifest.json"] = json.dumps(manifest).encode()
    if members is not None:
        contents = members(contents)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compress) as file:
        for name, content in contents.items():
            file.writestr(name, content)
        file.comment = b"sha256=" + b"0" * 64
    body = buffer.getvalue()[:-64]
    target = path.with_name("forged.zip")
    target.write_bytes(body + hashlib.sha256(body).hexdigest().encode())
    return target


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


def test_any_flipped_byte_is_noticed(saved: Path) -> None:
    content = saved.read_bytes()
    for position in range(0, len(content), 37):
        broken = bytearray(content)
        broken[position] ^= 0x10
        saved.write_bytes(broken)
        with pytest.raises(ArchiveError, match="graph.zip"):
            Graph.load_from_file(saved)


def test_any_cut_is_noticed(saved: Path) -> None:
    content = saved.read_bytes()
    for length in (0, 1, 30, len(content) // 2, len(content) - 1):
        saved.write_bytes(content[:length])
        with pytest.raises(ArchiveError, match="graph.zip"):
            Graph.load_from_file(saved)


def test_missing_file_is_an_ordinary_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Graph.load_from_file(tmp_path / "none.zip")


def replace_node(**changes: Any) -> Any:
    return lambda manifest: manifest["nodes"][1].update(changes)


FORGERIES = [
    ("newer format", lambda m: m.update(format=2), "format: expected 1, got 2"),
    ("class outside", replace_node(**{"class": "subprocess:Popen"}), "expected a class of cuvis_ai"),
    ("class behind a prefix", replace_node(**{"class": "cuvis_ai.pipeline.saving.archive:zipfile.ZipFile"}), "form"),
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
    ("fewer components", replace_node(arguments={"n_components": 2}), "forged.zip"),
    ("no manifest of ours", lambda m: m.clear(), "does not describe a graph"),
    ("nodes of another type", lambda m: m.update(nodes=7), "does not describe a graph"),
    ("other probe", lambda m: m["probe"]["outputs"].update(trainable_pca=[1.0, 2.0, 3.0]), "another output"),
    ("absurd dtype", lambda m: m.update(dtype="object"), "does not describe a graph"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"), [row[1:] for row in FORGERIES], ids=[row[0] for row in FORGERIES]
)
def test_forged_manifests_are_refused(saved: Path, change: Any, message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        Graph.load_from_file(rewritten(saved, change))


@pytest.mark.parametrize(
    "members",
    [
        lambda c: {**c, "more.txt": b""},
        lambda c: {"manifest.json": c["manifest.json"]},
        lambda c: {**c, "../evil": b""},
        lambda c: {**c, "weights.safetensors": b"junk"},
        lambda c: {**c, "weights.safetensors": b"\xff" * 64},
        lambda c: dict(reversed(c.items())),
        lambda c: {**c, "manifest.json": b"[" * 100_000},
        lambda c: {**c, "manifest.json": b"\xff"},
    ],
)
def test_forged_members_are_refused(saved: Path, members: Any) -> None:
    with pytest.raises(ArchiveError, match=r"forged\.zip"):
        Graph.load_from_file(rewritten(saved, lambda m: None, members=members))


def test_compressed_members_are_refused(saved: Path) -> None:
    with pytest.raises(ArchiveError, match="uncompressed"):
        Graph.load_from_file(rewritten(saved, lambda m: None, compress=zipfile.ZIP_DEFLATED))


def test_failed_save_leaves_the_old_file_whole(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fitted().save_to_file(saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["graph.zip"]


def test_the_same_graph_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    Graph.load_from_file(saved).save_to_file(tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == saved.read_bytes()
