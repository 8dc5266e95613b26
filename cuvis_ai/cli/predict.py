"""The command `cuvis-ai predict`."""

import logging
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Sequence
from pathlib import Path

from cuvis_ai.cli.command_line import parser_of
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction.writers import WRITERS


def run(arguments: Sequence[str]) -> None:
    """Write the score maps of scenes by a saved graph.

    Example:
        cuvis-ai predict graph.zip flight/*.hdr --out maps --mask --detections
        cuvis-ai predict graph.zip flight/ --out maps --shard 2/8

    Scenes may be larger than memory. For each, the scores are written as a map in the scene's own grid, and a
    picture; with --mask and --detections what is above the threshold. A run that was ended at any moment goes
    on with --resume.
    """
    parser = parser_of("predict")
    parser.add_argument("graph", type=Path, help="a zip that graph.save_to_file wrote")
    add_scene_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the maps; not the scenes' own")
    add_output_arguments(parser)
    parser.add_argument(
        "--match-bands", action="store_true", help="take each scene's bands nearest to those of training"
    )
    parser.add_argument("--allow", action="append", default=[], help="a package of your own nodes")
    parser.add_argument(
        "--device", default="cpu", help='where it is computed: "cpu", "cuda", "cuda:1", "mps"'
    )
    chosen = vars(parser.parse_args(arguments))
    # A line a scene, also where there is no terminal for the bar.
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    graph = Graph.load_from_file(chosen.pop("graph"), allow=chosen.pop("allow")).to(chosen.pop("device"))
    graph.predict(chosen.pop("scenes"), chosen.pop("out"), **chosen)


def add_scene_arguments(parser: ArgumentParser) -> None:
    """Add which scenes are read, and how."""
    parser.add_argument(
        "scenes",
        nargs="+",
        metavar="SCENE",
        help="file, folder, pattern, or a .txt with one of these a line",
    )
    parser.add_argument("--axes", help='order of the axes of arrays, such as "chw"')
    parser.add_argument("--no-data", type=float, help="value that stands for no data")
    parser.add_argument("--saturation", type=float, help="level from which on a band is saturated")
    parser.add_argument(
        "--bad-bands", type=_numbers, metavar="N,N,…", help="bands to leave out, counted from 0"
    )


def add_output_arguments(parser: ArgumentParser) -> None:
    """Add what is written of each scene, and how a run goes on where one stood."""
    parser.add_argument("--format", choices=sorted(WRITERS), default="envi", help="of maps (default: envi)")
    parser.add_argument("--mask", action="store_true", help="write 1 above the threshold, else 0")
    parser.add_argument(
        "--detections", action="store_true", help="write connected detections as GeoJSON and CSV"
    )
    parser.add_argument(
        "--picture", action=BooleanOptionalAction, default=True, help="draw each scene with its scores"
    )
    parser.add_argument("--threshold", type=float, help="in place of the graph's stored threshold")
    parser.add_argument(
        "--false-alarm-rate",
        type=float,
        help="share of normal pixels above the threshold",
    )
    parser.add_argument("--min-pixels", type=int, default=1, help="leave out smaller detections (default: 1)")
    parser.add_argument("--top", type=int, help="at most so many detections a scene, the strongest")
    parser.add_argument(
        "--shard", type=_share, default=(1, 1), metavar="I/N", help="do the I-th of N shares, from 1"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace maps that stand in the folder")
    parser.add_argument("--resume", action="store_true", help="do only what an earlier run left")


def _share(text: str) -> tuple[int, int]:
    i, _, n = text.partition("/")
    return int(i), int(n)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number.strip()]
