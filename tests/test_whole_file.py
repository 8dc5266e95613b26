"""Files are written whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from cuvis_ai.whole_file import make_writable, write_whole


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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks that end with a process")
def test_what_a_killed_process_left_is_removed_by_the_next_write_of_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    kill = "lambda part: os.kill(os.getpid(), signal.SIGKILL)"
    program = (
        "import os, signal, sys; from pathlib import Path; from cuvis_ai.whole_file import write_whole\n"
    )
    program += f"write_whole(Path(sys.argv[1]), b'part', {kill})"
    for other in (path, tmp_path / "another"):
        assert subprocess.run([sys.executable, "-c", program, str(other)]).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert len(names(tmp_path)) == 3
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert len(names(tmp_path)) == 2  # that of the other file is not this one's
    write_whole(tmp_path / "another", b"new")
    assert names(tmp_path) == ["another", "file"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks that end with a process")
def test_what_a_running_process_writes_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    wait = "lambda part: (print('here', flush=True), sys.stdin.read())"
    program = "import sys; from pathlib import Path; from cuvis_ai.whole_file import write_whole\n"
    program += f"write_whole(Path(sys.argv[1]), b'its', {wait})"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        write_whole(path, b"ours")
        assert path.read_bytes() == b"ours"
        assert len(names(tmp_path)) == 2
        process.communicate(b"")
    assert process.returncode == 0
    assert path.read_bytes() == b"its"
    assert names(tmp_path) == ["file"]


def test_one_that_is_removed_before_it_is_locked_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    removed = list[Path]()
    lock = fcntl.flock

    def late(file: IO[bytes], operation: int) -> None:
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    write_whole(tmp_path / "file", b"all")
    assert len(removed) == 1
    assert (tmp_path / "file").read_bytes() == b"all"
    assert names(tmp_path) == ["file"]


def test_a_folder_is_made_and_tried_without_a_trace(tmp_path: Path) -> None:
    make_writable(tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b"]
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_writable(tmp_path / "file")
