"""What is listed is what lies in the folder of configurations."""

from pathlib import Path

import pytest

import cuvis_ai.conf
from cuvis_ai.cli.command_line import main
from cuvis_ai.cli.configurations import described, groups

FOLDER = Path(cuvis_ai.conf.__file__).parent


def test_every_configuration_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    names = {path.stem for path in FOLDER.glob("*.yaml")} - {"general"}
    assert {line.split()[0] for line in described()} == names
    assert all(len(line.split()) > 3 for line in described())
    assert main(["train", "--list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[: len(names)] == described()
    assert "data=folder|indian_pines|lentils|scene" in shown


def test_groups_are_the_folders() -> None:
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*.yaml")}
    assert {f"{group}/{option}.yaml" for group, options in groups().items() for option in options} == files
