"""The command `cuvis-ai predict`."""

import logging
from collections.abc import Sequence
from pathlib import Path

from cuvis_ai.cli.command_line import loaded, parser_of
from cuvis_ai.cli.scene_arguments import (
    add_allow,
    add_output_arguments,
    add_scene_arguments,
    add_truth_arguments,
)


def run(arguments: Sequence[str]) -> None:
    """Write the score maps of scenes by a saved graph.

    Example:
        cuvis-ai predict graph.zip flight/*.hdr --out maps --mask --detections
        cuvis-ai predict graph.zip flight/ --out maps --shard 2/8

    Scenes may be larger than memory. For each, the scores are written as a map in the scene's own grid, and a
    picture; with --mask and --detections what is above the threshold. A run that was ended at any moment goes
    on with --resume. An exported model, model.onnx, is run by ONNX Runtime and needs no torch.
    """
    parser = parser_of("predict")
    parser.add_argument("graph", type=Path, help="a zip that graph.save_to_file wrote, or an exported .onnx")
    add_scene_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder of the maps; not the scenes' own")
    add_output_arguments(parser)
    add_truth_arguments(parser, "for --false-alarm-rate, in place of the tail: ")
    parser.add_argument(
        "--match-bands", action="store_true", help="take each scene's bands nearest to those of training"
    )
    parser.add_argument(
        "--refit", action="store_true", help="fit the statistics to each scene; the threshold stays"
    )
    add_allow(parser)
    parser.add_argument(
        "--device", default="cpu", help='where it is computed: "cpu", "cuda", "cuda:1", "mps"'
    )
    parser.add_argument(
        "--devices", type=int, default=1,
        help="processes that share the work, each with an accelerator or with its part of the threads",
    )  # fmt: skip
    chosen = vars(parser.parse_args(arguments))
    # A line a scene, also where there is no terminal for the bar.
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    path = chosen.pop("graph")
    loaded("model_run" if path.suffix == ".onnx" else "graph_run").predict(path, chosen)
