"""The script, run by bash, completes what there is to complete."""

import shutil
import subprocess
from pathlib import Path

import pytest

from cuvis_ai.cli.command_line import commands, main
from cuvis_ai.cli.configurations import described


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "cuvis-ai"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as file:
        patch.setattr("sys.stdout", file)
        assert main(["completion"]) == 0
    return path


def completed(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word of a command line."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    program = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cuvis_ai; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [bash, "-c", program, "bash", script, "cuvis-ai", *words], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["det"], {"detect"}),
        (["predict", "--det"], {"--detections"}),
        (["predict", "graph.zip", "--ref"], {"--refit"}),
        (["select-bands", "--anom"], {"--anomaly-label"}),
        (["train", "--config-name", "phase4"], {"phase4_bands", "phase4_config"}),
        (["train", "data"], {"data=folder", "data=indian_pines", "data=lentils", "data=scene"}),
        (["train", "data", "=", "le"], {"lentils"}),
        # Files are bash's own.
        (["predict", "gra"], set()),
        (["merge", "--nothing-like-it"], set()),
    ],
)
def test_words_are_completed(script: Path, words: list[str], expected: set[str]) -> None:
    assert completed(script, *words) == expected


def test_all_commands_and_configurations_are_offered(script: Path) -> None:
    assert completed(script, "") == {*commands(), "--help", "--version"}
    assert completed(script, "train", "--config-name", "") == {line.split()[0] for line in described()}
    for command in commands():
        assert completed(script, command, "--he") == {"--help"}
