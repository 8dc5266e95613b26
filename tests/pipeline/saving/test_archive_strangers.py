"""Archives from strangers: sealed anew, so that all that stands behind the seal is tried."""

import io
import json
import stat
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from cuvis_ai.errors import ArchiveError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.leaf.bases import Leaf
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.saving.archive import HOMES
from fuzz.sealing import MEMBERS, Contents, resealed, with_header, zipped
from tests.cases import DECODERS, LEAVES, NODES
from tests.pipeline.test_graph import fitted, small

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    path = tmp_path_factory.mktemp("saved") / "graph.zip"
    fitted().save_to_file(path)
    return Contents.of(path.read_bytes())


def loaded(archive: bytes, tmp_path: Path) -> Graph:
    path = tmp_path / "stranger.zip"
    path.write_bytes(archive)
    return Graph.load_from_file(path)


def refused(archive: bytes, tmp_path: Path) -> str:
    with pytest.raises(ArchiveError, match=r"stranger\.zip") as caught:
        loaded(archive, tmp_path)
    return str(caught.value)


def changed(contents: Contents, change: Change) -> bytes:
    """Return the archive with another manifest."""
    manifest = contents.parsed()
    change(manifest)
    return Contents(json.dumps(manifest).encode(), contents.weights).archive()


def with_tensors(contents: Contents, **tensors: torch.Tensor) -> bytes:
    """Return the archive with other tensors of the PCA, and without the probe that would notice."""
    held = load(contents.weights) | {f"nodes.trainable_pca.{name}": value for name, value in tensors.items()}
    manifest = contents.parsed() | {"probe": None}
    return Contents(json.dumps(manifest).encode(), save(held)).archive()


def test_sealing_as_an_attacker_does_is_accepted(whole: Contents, tmp_path: Path) -> None:
    assert len(loaded(whole.archive(), tmp_path).nodes) == 2


# The zip.


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "..\\evil", "C:evil", "manifest.json/", "weights.safetensors"]
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_strange_and_doubled_names_are_refused(
    whole: Contents, tmp_path: Path, name: str, place: int
) -> None:
    members: list[Any] = [*zip(MEMBERS, (whole.manifest, whole.weights), strict=True)]
    members.insert(place, (name, b"x"))
    with pytest.warns(UserWarning, match="Duplicate name") if name in MEMBERS else _nothing():
        archive = zipped(members)
    assert "expected the members" in refused(archive, tmp_path)


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO])
def test_links_folders_and_devices_are_refused(whole: Contents, tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo(MEMBERS[0])
    info.external_attr = (kind | 0o777) << 16
    archive = zipped([(info, whole.manifest), (MEMBERS[1], whole.weights)])
    assert "got a link, folder or device" in refused(archive, tmp_path)


def test_zip_bomb_is_refused_unopened(
    whole: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = zipped([(MEMBERS[0], whole.manifest), (MEMBERS[1], bytes(10**8))], zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10**6
    monkeypatch.setattr(zipfile.ZipFile, "read", None)  # the first read would fail as no ArchiveError
    assert "stored uncompressed" in refused(bomb, tmp_path)


def test_very_many_members_are_refused_unlisted(
    whole: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped([(str(i), b"") for i in range(1001)])
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert "got more than 1000" in refused(archive, tmp_path)


@pytest.mark.parametrize(
    ("offset", "value"),
    [(8, 1), (8, 0x800), (10, 99), (20, 0xFFFF), (24, 0xFFFF), (28, 0xFFFF), (30, 8), (42, 0xFFFF)],
    ids=["encrypted", "utf-8", "method", "compressed size", "size", "name length", "extra length", "offset"],
)
def test_false_fields_of_an_entry_are_refused_or_harmless(
    whole: Contents, tmp_path: Path, offset: int, value: int
) -> None:
    archive = bytearray(whole.archive())
    entry = archive.rindex(b"PK\x01\x02")
    archive[entry + offset : entry + offset + 2] = struct.pack("<H", value)
    if (offset, value) in ((8, 0x800), (28, 0xFFFF), (30, 8)):
        # ASCII is UTF-8, and lengths beyond the list's end end there: the two members are what they were.
        assert len(loaded(resealed(bytes(archive)), tmp_path).nodes) == 2
    else:
        refused(resealed(bytes(archive)), tmp_path)


def test_refusal_of_a_zip_does_not_repeat_its_content(whole: Contents, tmp_path: Path) -> None:
    archive = bytearray(whole.archive())
    archive[26:28] = struct.pack("<H", len(whole.manifest))  # the length of the first name
    assert len(refused(resealed(bytes(archive)), tmp_path)) < 1500


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="expected a file, got a folder"):
        Graph.load_from_file(tmp_path)


# The manifest.


def node(**changes: Any) -> Change:
    return lambda manifest: manifest["nodes"][1].update(changes)


def argument(**changes: Any) -> Change:
    return lambda manifest: manifest["nodes"][1]["arguments"].update(changes)


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


def test_class_outside_is_refused_unimported(
    whole: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marker_of_archive.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    text = refused(changed(whole, node(**{"class": "marker_of_archive:Bad"})), tmp_path)
    assert "allow=['marker_of_archive']" in text
    assert "marker_of_archive" not in sys.modules


def test_every_node_and_leaf_of_ours_lives_where_files_may_look() -> None:
    made: list[Node | Leaf] = [case.make() for case in (*NODES, *DECODERS, *LEAVES)]
    strays = [type(one) for one in made if not type(one).__module__.startswith(HOMES)]
    assert not strays


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
    nodes = Counting(graph._typed_nodes())
    Execution(graph.topology, nodes).channels(("n39",))
    assert nodes.asked <= 40


# The weights.

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


# What is saved can be loaded.


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    graph = Graph()
    graph.add_node(TrainablePCA(3, eps=float("inf")))
    with pytest.raises(ArchiveError, match="TrainablePCA `trainable_pca`: cannot be saved"):
        graph.save_to_file(tmp_path / "graph.zip")
    assert not any(tmp_path.iterdir())


def test_seal_is_checked_in_blocks(whole: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuvis_ai.pipeline.saving.sealed_zip._BLOCK", 5)
    assert len(loaded(whole.archive(), tmp_path).nodes) == 2
    broken = bytearray(whole.archive())
    broken[1000] ^= 1
    assert "checksum" in refused(bytes(broken), tmp_path)


@pytest.mark.slow
def test_mutated_archives_are_loaded_or_refused(tmp_path: Path) -> None:
    from fuzz.archives import fuzzed
    from fuzz.seeds import seeds

    tally = fuzzed(500, seed=11, workers=1, archives=seeds(), folder=tmp_path, limit=60)
    assert tally.findings == []
    assert {outcome for _, outcome in tally.outcomes} == {"ArchiveError", "loaded"}
    assert sum(tally.outcomes.values()) == 500


def test_same_number_gives_the_same_mutation(whole: Contents) -> None:
    from fuzz.archives import case

    assert [case(i, 3, [whole]) for i in range(20)] == [case(i, 3, [whole]) for i in range(20)]
    assert case(0, 3, [whole]) != case(0, 4, [whole])


def test_member_that_says_less_than_it_holds_is_refused(whole: Contents, tmp_path: Path) -> None:
    archive = whole.archive()
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        size = file.infolist()[1].file_size
    false = archive.replace(struct.pack("<LL", size, size), struct.pack("<LL", size, size - 8))
    assert false != archive
    assert "stored uncompressed" in refused(resealed(false), tmp_path)
