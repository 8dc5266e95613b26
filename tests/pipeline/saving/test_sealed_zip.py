"""The sealed zip: written atomically, whole or refused, and nothing in it trusted."""

import contextlib
import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cuvis_ai.errors import ArchiveError
from cuvis_ai.pipeline.graph import Graph
from fuzz.sealing import MEMBERS, Contents, resealed, zipped
from tests.pipeline.saving.untrusted import loaded, refused
from tests.pipeline.test_graph import fitted


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


def test_failed_save_leaves_the_old_file_whole(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        fitted().save_to_file(saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["graph.zip"]


def test_sealing_as_an_attacker_does_is_accepted(whole: Contents, tmp_path: Path) -> None:
    assert len(loaded(whole.archive(), tmp_path).nodes) == 2


def test_seal_is_checked_in_blocks(whole: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuvis_ai.pipeline.saving.sealed_zip._BLOCK", 5)
    assert len(loaded(whole.archive(), tmp_path).nodes) == 2
    broken = bytearray(whole.archive())
    broken[1000] ^= 1
    assert "checksum" in refused(bytes(broken), tmp_path)


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "..\\evil", "C:evil", "manifest.json/", "weights.safetensors"]
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_strange_and_doubled_names_are_refused(
    whole: Contents, tmp_path: Path, name: str, place: int
) -> None:
    members: list[Any] = [*zip(MEMBERS, (whole.manifest, whole.weights), strict=True)]
    members.insert(place, (name, b"x"))
    with pytest.warns(UserWarning, match="Duplicate name") if name in MEMBERS else contextlib.nullcontext():
        archive = zipped(members)
    assert "expected the members" in refused(archive, tmp_path)


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


def test_member_that_says_less_than_it_holds_is_refused(whole: Contents, tmp_path: Path) -> None:
    archive = whole.archive()
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        size = file.infolist()[1].file_size
    false = archive.replace(struct.pack("<LL", size, size), struct.pack("<LL", size, size - 8))
    assert false != archive
    assert "stored uncompressed" in refused(resealed(false), tmp_path)


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="expected a file, got a folder"):
        Graph.load_from_file(tmp_path)


FORGED: list[tuple[str, Callable[[dict[str, bytes]], dict[str, bytes]]]] = [
    ("surplus member", lambda c: {**c, "more.txt": b""}),
    ("missing member", lambda c: {"manifest.json": c["manifest.json"]}),
    ("member that leads out", lambda c: {**c, "../evil": b""}),
    ("weights that are none", lambda c: {**c, "weights.safetensors": b"junk"}),
    ("weights of a long header", lambda c: {**c, "weights.safetensors": b"\xff" * 64}),
    ("other order", lambda c: dict(reversed(c.items()))),
    ("deep manifest", lambda c: {**c, "manifest.json": b"[" * 100_000}),
    ("manifest that is no text", lambda c: {**c, "manifest.json": b"\xff"}),
]


@pytest.mark.parametrize("change", [row[1] for row in FORGED], ids=[row[0] for row in FORGED])
def test_forged_members_are_refused(
    whole: Contents, tmp_path: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> None:
    members = change(dict(zip(MEMBERS, (whole.manifest, whole.weights), strict=True)))
    refused(zipped([*members.items()]), tmp_path)


def test_compressed_members_are_refused(whole: Contents, tmp_path: Path) -> None:
    archive = zipped([(MEMBERS[0], whole.manifest), (MEMBERS[1], whole.weights)], zipfile.ZIP_DEFLATED)
    assert "uncompressed" in refused(archive, tmp_path)


def test_a_saved_file_has_the_permissions_of_any_new_file(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    assert saved.stat().st_mode == (tmp_path / "plain").stat().st_mode
