"""Output folders: held by one run, of this process or another, and no file of an earlier run lost."""

import logging
import os
import subprocess
import sys

import pytest
from filelock import FileLock

from cuvis_ai.errors import ConfigError
from cuvis_ai.training.monitors.files import append, claim, cut, move_aside, time_stamp

HOLDS = """
import sys
from pathlib import Path
from cuvis_ai.training.monitors.files import claim
lock = claim(Path(sys.argv[1]), "Owner", "folder")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_is_made_and_held_until_it_is_released(tmp_path):
    lock = claim(tmp_path / "a" / "b", "Owner", "folder")
    message = r"Owner: folder: expected .* no other run writes to, got '.*b', which another run of this process holds"
    with pytest.raises(ConfigError, match=message):
        claim(tmp_path / "a" / "b", "Owner", "folder")
    lock.release()
    claim(tmp_path / "a" / "b", "Owner", "folder").release()


def test_owners_of_different_files_share_a_folder(tmp_path):
    with claim(tmp_path, "One", "folder"), claim(tmp_path, "Other", "folder"):
        pass


def test_another_process_is_named_and_a_kill_leaves_nothing(repository, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, tmp_path], cwd=repository,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout.readline() == "held\n"
        for _ in range(2):  # a refusal takes nothing from the holder
            with pytest.raises(
                ConfigError, match=rf"which process {other.pid} holds\. Wait for that run to end"
            ):
                claim(tmp_path, "Owner", "folder")
        other.kill()
    claim(tmp_path, "Owner", "folder").release()


def test_a_folder_in_place_of_which_stands_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match="Owner: folder: expected a folder that can be written to.*Not a directory"
    ):
        claim(tmp_path / "file" / "below", "Owner", "folder")


@pytest.mark.parametrize("error", [OSError("no locks here"), NotImplementedError("no locks here")])
def test_a_file_system_without_locks_costs_a_warning(error, tmp_path, monkeypatch, caplog):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with caplog.at_level(logging.WARNING, "cuvis_ai"):
        claim(tmp_path, "Owner", "folder").release(force=True)
    [warning] = caplog.records
    assert "cannot be locked: no locks here" in warning.getMessage()


def test_files_of_one_run_are_moved_aside_together(tmp_path):
    for i in range(3):
        (tmp_path / "a.txt").write_text(str(i))
        (tmp_path / "folder").mkdir()
        os.utime(tmp_path / "a.txt", (0, 0))
        move_aside(tmp_path, ("a.txt", "folder", "missing"))
    stamp = "19700101T000000Z"
    expected = {f"a.{stamp}{more}.txt": str(i) for i, more in enumerate(("", "-2", "-3"))}
    assert {path.name: path.read_text() for path in tmp_path.glob("*.txt")} == expected
    assert {path.name for path in tmp_path.glob("folder*")} == {
        f"folder.{stamp}{more}" for more in ("", "-2", "-3")
    }


def test_a_stamp_that_is_taken_gets_a_number(tmp_path):
    os.utime(tmp_path, (0, 0))
    assert time_stamp(tmp_path, {"19700101T000000Z"}.__contains__) == "19700101T000000Z-2"


def test_cut_leaves_out_rows_and_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "rows.jsonl"
    append(path, [{"i": i} for i in range(2)])
    append(path, [{"i": tmp_path}])  # what JSON has no form for becomes text
    with path.open("a") as file:
        file.write('{"i": 3')
    cut(path, lambda row: row["i"] != 0)
    assert path.read_text() == f'{{"i": 1}}\n{{"i": "{tmp_path}"}}\n'
    cut(tmp_path / "missing", lambda row: True)
