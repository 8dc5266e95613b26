"""The command `cuvis-ai fit-shard`."""

from collections.abc import Sequence
from pathlib import Path

from cuvis_ai.cli.command_line import parser_of
from cuvis_ai.cli.scene_arguments import add_allow, add_scene_arguments, share
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction.scene_files import find_scenes


def run(arguments: Sequence[str]) -> None:
    """Write the statistics of a share of scenes, for a graph that is fitted from all shares by merge.

    Example:
        cuvis-ai fit-shard graph.zip flight/*.hdr --shard 3/8 --out part3.safetensors

    Shares may be taken one after the other, by processes or by machines; all name the same scenes.
    """
    parser = parser_of("fit-shard")
    parser.add_argument("graph", type=Path, help="a zip of a graph that is not fitted yet")
    add_scene_arguments(parser)
    parser.add_argument(
        "--shard", type=share, default=(1, 1), metavar="I/N", help="take the I-th of N shares, from 1"
    )
    parser.add_argument("--out", type=Path, required=True, help="file of the statistics")
    add_allow(parser)
    chosen = vars(parser.parse_args(arguments))
    graph = Graph.load_from_file(chosen.pop("graph"), allow=chosen.pop("allow"))
    shard, out, scenes = (chosen.pop(name) for name in ("shard", "out", "scenes"))
    print(graph.sketch(SceneList(find_scenes(scenes), **chosen), out, shard))
