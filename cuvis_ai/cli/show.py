"""The command `cuvis-ai show`."""

from collections.abc import Sequence
from pathlib import Path

from cuvis_ai.cli.command_line import parser_of
from cuvis_ai.pipeline.graph import Graph


def run(arguments: Sequence[str]) -> None:
    """Print the structure of a saved graph.

    Example:
        cuvis-ai show outputs/trained_graph.zip
    """
    parser = parser_of("show")
    parser.add_argument("file", type=Path, help="a zip that graph.save_to_file wrote")
    print(Graph.load_from_file(parser.parse_args(arguments).file))
