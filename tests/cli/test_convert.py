"""`cuvis-ai convert`: a session's cubes, written as ENVI files."""

from pathlib import Path

import pytest

from cuvis_ai.cli import convert as command
from cuvis_ai.cli import main


def test_convert_prints_what_it_has_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def convert(session: Path, folder: Path) -> list[Path]:
        return [folder / f"{session.stem}_{i:04d}.hdr" for i in range(2)]

    monkeypatch.setattr(command, "convert", convert)
    assert main(["convert", "tray.cu3s", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'tray_0000.hdr'}\n{tmp_path / 'tray_0001.hdr'}\n"


def test_cubes_that_are_in_the_way_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def convert(session: Path, folder: Path) -> list[Path]:
        raise FileExistsError(f"{folder}: expected no cubes of {session.name}, got 2 files.")

    monkeypatch.setattr(command, "convert", convert)
    assert main(["convert", "tray.cu3s", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"cuvis-ai: {tmp_path}: expected no cubes of tray.cu3s, got 2 files.\n"


def test_convert_says_that_there_is_no_such_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(tmp_path / "none.cu3s"), str(tmp_path / "cubes")]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("cuvis-ai: ")
    assert str(tmp_path / "none.cu3s") in printed
    assert not (tmp_path / "cubes").exists()
