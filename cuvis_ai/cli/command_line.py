"""The command line of `cuvis-ai`: its commands, found by walking the package, and the errors they report.

A command is a module of `cuvis_ai.cli` that defines `run`. Its name is the file's, with hyphens; its help and
an example are read from the docstring of `run` without importing the module, since torch and Lightning take
seconds.
"""

import ast
import difflib
import importlib
import logging
import os
import pkgutil
import re
import signal
import sys
import threading
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

from typing_extensions import override

from cuvis_ai import __version__
from cuvis_ai.errors import (
    DISTRIBUTION,
    ConfigError,
    CubeFormatError,
    GraphError,
    MissingExtraError,
    NotFittedError,
    escaped,
)

REPORTED = (
    ConfigError,
    GraphError,
    CubeFormatError,
    MissingExtraError,
    NotFittedError,
    OSError,
)
"""Errors that a user can put right: the commands print their message alone."""

_RESUMED = ("predict", "detect")


class _Record(logging.LogRecord):
    """A line of the log, in which nothing that a file says controls the terminal."""

    def getMessage(self) -> str:  # noqa: N802  # the standard library's name
        return escaped(super().getMessage())


def prepare_log() -> None:
    """Let the log hold printable lines; for programs, not for libraries."""
    logging.setLogRecordFactory(_Record)


def loaded(module: str) -> ModuleType:
    """Return a module of this package, imported only now."""
    return importlib.import_module(f"{__package__}.{module}")


def commands() -> dict[str, str]:
    """Return the docstring of each command's `run`, by the command's name."""
    folder = Path(__file__).parent
    found = {}
    for module in pkgutil.iter_modules([str(folder)]):
        body = ast.parse((folder / f"{module.name}.py").read_text(encoding="utf-8")).body
        for statement in body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "run":
                found[module.name.replace("_", "-")] = ast.get_docstring(statement) or ""
    return found


class _BriefParser(ArgumentParser):
    """A parser whose errors are two lines: what is wrong, and where help is; not the usage of all options."""

    @override
    def error(self, message: str) -> NoReturn:
        mistyped = re.search(r"unrecognized arguments: (--[^\s=]+)", message)
        near = (
            difflib.get_close_matches(mistyped[1], self._option_string_actions, n=1, cutoff=0.7)
            if mistyped
            else []
        )
        advice = f". Did you mean {near[0]}?" if near else ""
        self.exit(
            2, escaped(f"{self.prog}: error: {message}{advice}\n{self.prog} --help lists the options.\n")
        )


def parser_of(command: str) -> ArgumentParser:
    """Return a parser whose help is the docstring of the command's `run`."""
    description, _, example = commands()[command].partition("\n\n")
    return _BriefParser(
        prog=f"cuvis-ai {command}",
        description=description,
        epilog=example,
        formatter_class=RawDescriptionHelpFormatter,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = ArgumentParser(
        prog="cuvis-ai", description="Turn hyperspectral cubes into trained, saved, monitored pipelines."
    )
    parser.add_argument("--version", action="version", version=__version__)
    choices = parser.add_subparsers(dest="command", required=True)
    for name, docstring in commands().items():
        line = docstring.partition("\n")[0].rstrip(".")
        choices.add_parser(name, help=line[:1].lower() + line[1:], add_help=False)
    chosen, rest = parser.parse_known_args(arguments)
    prepare_log()
    try:
        with _terminated_by_exception():
            loaded(chosen.command.replace("-", "_")).run(rest)
            sys.stdout.flush()
    except BrokenPipeError:  # of `| head`, which has read enough
        with suppress(OSError), Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        return 128 + 13  # SIGPIPE, which Windows lacks
    except REPORTED as err:
        print(escaped(f"cuvis-ai: {err}"), file=sys.stderr)
        return 1
    except ModuleNotFoundError as err:
        # The package may be installed without what it requires, to predict with exported models.
        print(
            f"cuvis-ai {chosen.command}: expected what this project requires, got no package `{err.name}`. "
            f"Install all of it: `python -m pip install {DISTRIBUTION}`.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return _ended(chosen.command, signal.SIGINT)
    except _Terminated:
        return _ended(chosen.command, signal.SIGTERM)
    return 0


def _ended(command: str, number: signal.Signals) -> int:
    """Say what a signal ended, and how to go on; return the exit status."""
    advice = " What is finished stays; the same command with --resume does the rest."
    print(
        f"cuvis-ai {command}: ended by {number.name}.{advice if command in _RESUMED else ''}", file=sys.stderr
    )
    return 128 + number


class _Terminated(SystemExit):
    """SIGTERM, as an exception."""


@contextmanager
def _terminated_by_exception() -> Iterator[None]:
    """Let SIGTERM end what runs inside as Ctrl-C does, by an exception, unless the caller handles it."""
    alone = threading.current_thread() is threading.main_thread()  # Python allows handlers there alone
    if not alone or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
