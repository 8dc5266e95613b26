"""The command `cuvis-ai convert`."""

from collections.abc import Sequence
from pathlib import Path

from cuvis_ai.cli.command_line import parser_of
from cuvis_ai.data.session_conversion import convert
from cuvis_ai.errors import escaped


def run(arguments: Sequence[str]) -> None:
    """Write the cubes of a .cu3s session as ENVI files.

    Example:
        cuvis-ai convert tray.cu3s cubes/
    """
    parser = parser_of("convert")
    parser.add_argument("session", type=Path, help="the .cu3s file")
    parser.add_argument("folder", type=Path, help="where the ENVI files go")
    chosen = parser.parse_args(arguments)
    for written in convert(chosen.session, chosen.folder):
        print(escaped(str(written)))
