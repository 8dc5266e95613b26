"""The command `cuvis-ai export`."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from cuvis_ai.cli.command_line import parser_of
from cuvis_ai.cli.scene_arguments import add_allow
from cuvis_ai.pipeline.export.model_input import InputType
from cuvis_ai.pipeline.export.model_writer import Layout
from cuvis_ai.pipeline.graph import Graph


def run(arguments: Sequence[str]) -> None:
    """Write a saved graph as an ONNX model, for machines without torch.

    Example:
        cuvis-ai export graph.zip model.onnx --input uint16 --layout nhwc --no-data 0
        cuvis-ai predict model.onnx flight/*.hdr --out maps

    ONNX Runtime has to agree with the graph before the file is written.
    """
    parser = parser_of("export")
    parser.add_argument("graph", type=Path, help="a zip that graph.save_to_file wrote")
    parser.add_argument("model", type=Path, help="the file to write")
    parser.add_argument(
        "--input", choices=get_args(InputType), default="float32", help="number type of the cube"
    )
    parser.add_argument(
        "--layout", choices=get_args(Layout), default="nchw", help="order of axes of cube and outputs"
    )
    parser.add_argument(
        "--outputs",
        nargs="+",
        metavar="NODE",
        help="nodes, or NODE_detected for masks (default: the ends, with masks where a threshold is stored)",
    )
    parser.add_argument("--no-data", type=float, help="value that stands for no data; such pixels become NaN")
    add_allow(parser)
    chosen = vars(parser.parse_args(arguments))
    graph = Graph.load_from_file(chosen.pop("graph"), allow=chosen.pop("allow"))
    path = chosen.pop("model")
    graph.export_onnx(path, **chosen)
    print(f"{path}: {path.stat().st_size} bytes, agrees with the graph in ONNX Runtime")
