"""The command `cuvis-ai merge`."""

from collections.abc import Sequence
from pathlib import Path

from cuvis_ai.cli.command_line import parser_of
from cuvis_ai.cli.scene_arguments import add_allow
from cuvis_ai.pipeline.graph import Graph


def run(arguments: Sequence[str]) -> None:
    """Fit a graph from the statistics of all shares that `fit-shard` wrote.

    Example:
        cuvis-ai merge graph.zip part*.safetensors --out fitted.zip

    Says which nodes another pass has to fit, with the graph that it wrote, if there are some.
    """
    parser = parser_of("merge")
    parser.add_argument("graph", type=Path, help="the zip that the shares were taken with")
    parser.add_argument("parts", type=Path, nargs="+", metavar="PART", help="the files of all shares")
    parser.add_argument("--out", type=Path, required=True, help="zip for the fitted graph")
    add_allow(parser)
    chosen = parser.parse_args(arguments)
    graph = Graph.load_from_file(chosen.graph, allow=chosen.allow)
    left = graph.fit_from(chosen.parts)
    graph.save_to_file(chosen.out)
    print(f"{chosen.out}: " + (f"another pass fits {', '.join(left)}" if left else "all nodes are fitted"))
