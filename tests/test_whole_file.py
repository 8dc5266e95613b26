"""Files are written whole or not at all."""

import os
from pathlib import Path

import pytest

from cuvis_ai.whole_file import write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_exactly_its_path_in_folders_that_it_makes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / ("n" * 255)  # the longest name that a folder can hold
    write_whole(path, b"first")
    write_whole(path, memoryview(b"second"))
    assert path.read_bytes() == b"second"
    assert names(path.parent) == [path.name]


def test_what_the_check_raises_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def check(part: Path) -> None:
        assert part.read_bytes() == b"new"
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new", check)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_it_is_on_the_disk_before_it_takes_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "file", list[bytes]()
    write_whole(path, b"old")
    sync = os.fsync

    def noted(descriptor: int) -> None:
        sync(descriptor)
        [part] = [one for one in tmp_path.iterdir() if one != path]
        seen.extend((part.read_bytes(), path.read_bytes()))

    monkeypatch.setattr(os, "fsync", noted)
    write_whole(path, b"new")
    assert seen == [b"new", b"old"]


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    """The second writes all of the same path while the first is being checked."""
    path = tmp_path / "file"
    write_whole(path, b"first", lambda part: write_whole(path, b"the second"))
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["file"]
