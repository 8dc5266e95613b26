"""The command `cuvis-ai detect`."""

import logging
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cuvis_ai.cli.command_line import parser_of
from cuvis_ai.cli.scene_arguments import (
    add_allow,
    add_output_arguments,
    add_scene_arguments,
    add_truth_arguments,
)
from cuvis_ai.pipeline.evaluation.evaluation_files import tables
from cuvis_ai.scene_detection import detect


def run(arguments: Sequence[str]) -> None:
    """Find anomalies in scenes without labels, and write maps of them.

    Example:
        cuvis-ai detect scene.hdr --out maps
        cuvis-ai detect flight/*.hdr --out maps --extent 20m --together --save detector.zip

    The default detector is fitted to each scene, or to all --together, and applied: scores as a map in the
    scene's grid, the mask, the connected detections, a picture, and a page about all scenes, report.html.
    With --masks or --mask-key the scores are also evaluated; the threshold stays the detector's.
    """
    parser = parser_of("detect")
    add_scene_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("maps"), help="folder of the maps (default: maps)")
    parser.add_argument(
        "--extent", type=_extent, default=13,
        help="1.5 times the width of the widest target, in pixels or metres: 13, 20m (default: 13)",
    )  # fmt: skip
    parser.add_argument(
        "--n-components", type=int, default=32, help="components that are kept at most (default: 32)"
    )
    parser.add_argument("--together", action="store_true", help="fit one detector to all scenes")
    parser.add_argument("--save", type=Path, help="zip for the fitted graph, for `cuvis-ai predict`")
    add_output_arguments(parser, found=True)
    add_truth_arguments(parser, "also evaluate: ")
    add_allow(parser)
    chosen = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("cuvis_ai.pipeline.prediction").setLevel(logging.INFO)
    logging.getLogger("cuvis_ai.scene_detection").setLevel(logging.INFO)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    del chosen["allow"]  # its formats are known by now
    found = detect(chosen.pop("scenes"), chosen.pop("out"), **chosen)
    if found.evaluation is not None:
        for table in tables(found.evaluation):
            Console().print(table)


def _extent(text: str) -> int | str:
    return int(text) if text.isdigit() else text
