"""The command line: its commands, their help, and wrong usage."""

import importlib
import inspect
import os
import pkgutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import cuvis_ai
from cuvis_ai.cli import command_line, main
from cuvis_ai.cli.command_line import commands

HEAVY = {"torch", "lightning", "hydra", "matplotlib", "numpy", "omegaconf"}


def exit_status(*arguments: str) -> int:
    """Run the command where argparse leaves the program; return its status."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert isinstance(left.value.code, int)
    return left.value.code


def output_of(code: str, folder: Path) -> str:
    """Return what a new Python prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_command_has_a_test_file_of_its_own() -> None:
    tested = {
        path.stem.removeprefix("test_").replace("_", "-") for path in Path(__file__).parent.glob("test_*.py")
    }
    assert commands().keys() >= {"train", "show", "convert"}
    assert commands().keys() <= tested


def test_every_command_says_what_it_does_and_shows_an_example() -> None:
    for name, docstring in commands().items():
        does, _, example = docstring.partition("\n\n")
        assert does.endswith(".")
        assert "\n" not in does
        assert example.startswith(f"Example:\n    cuvis-ai {name} ")


def test_modules_without_run_are_no_commands() -> None:
    names = [module.name for module in pkgutil.iter_modules(cuvis_ai.cli.__path__)]
    with_run = {
        name.replace("_", "-")
        for name in names
        if inspect.isfunction(vars(importlib.import_module(f"cuvis_ai.cli.{name}")).get("run"))
    }
    assert commands().keys() == with_run
    assert len(with_run) < len(names)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("--version") == 0
    assert capsys.readouterr().out.strip() == cuvis_ai.__version__


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("--help") == 0
    printed = capsys.readouterr().out
    for command in commands():
        assert f"    {command} " in printed
    assert "print what a saved graph or a scene is\n" in printed


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import contextlib, sys\nfrom cuvis_ai.cli import main\n"
    code += "with contextlib.suppress(SystemExit): main(['--help'])\nprint(*sys.modules)"
    listed, _, modules = output_of(code, tmp_path).rpartition("\n\n")
    assert "print what a saved graph or a scene is" in listed + modules
    assert not HEAVY & {name.partition(".")[0] for name in modules.split()}


def test_help_of_train_waits_for_hydra_and_not_for_lightning(tmp_path: Path) -> None:
    code = "import contextlib, sys\nfrom cuvis_ai.cli import main\n"
    code += "with contextlib.suppress(SystemExit): main(['train', '--help'])\nprint('modules:', *sys.modules)"
    printed, _, modules = output_of(code, tmp_path).rpartition("modules:")
    assert "cuvis-ai train --config-name demo" in printed
    assert not {"torch", "lightning"} & {name.partition(".")[0] for name in modules.split()}


@pytest.mark.parametrize("command", ["show", "convert"])
def test_help_of_a_command_shows_its_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(command, "--help") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: cuvis-ai {command} ")
    assert f"\n    cuvis-ai {command} " in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: command"),
        (["tarin"], "invalid choice: 'tarin'"),
        (["show"], "required: file"),
        (["convert", "session.cu3s"], "required: folder"),
        (["show", "a.zip", "--loud"], "unrecognized arguments: --loud\n"),
        (["detect", "a.hdr", "--extentt", "9"], "--extentt 9. Did you mean --extent?\n"),
        (["predict", "a.zip", "b.hdr", "--out", "c", "--thresold=3"], "Did you mean --threshold?\n"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(*arguments) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) <= 2 or arguments in ([], ["tarin"])  # what is wrong, not every option


class Ending:
    """A command that a signal ends."""

    def __init__(self, number: int) -> None:
        self.number = number

    def run(self, rest: list[str]) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(10)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
@pytest.mark.parametrize("command", ["predict", "export"])
def test_a_signal_ends_a_command_in_one_line(
    command: str,
    number: signal.Signals,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command_line, "loaded", lambda _: Ending(number))
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    assert main([command]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cuvis-ai {command}: ended by {number.name}.")
    assert ("--resume" in line) == (command == "predict")
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before


def test_who_reads_no_further_sees_no_error(tmp_path: Path) -> None:
    np.save(tmp_path / "scene.npy", np.zeros((2, 2, 3)))
    code = "import sys, time; from cuvis_ai.cli import main; time.sleep(1); sys.exit(main(['show', 'scene.npy']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_package_that_is_missing_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: list[str]) -> None:
        importlib.import_module("not_installed.at_all")

    monkeypatch.setattr("cuvis_ai.cli.show.run", run)
    assert main(["show", "scene.hdr"]) == 1
    assert capsys.readouterr().err == (
        "cuvis-ai show: expected what this project requires, got no package `not_installed`. Install all of it: "
        "`python -m pip install cubes-to-maps`.\n"
    )
