"""The command `cuvis-ai show`."""

from collections.abc import Sequence
from pathlib import Path

from cuvis_ai.cli.command_line import parser_of
from cuvis_ai.cli.scene_arguments import add_allow
from cuvis_ai.data.cube import open_cube
from cuvis_ai.errors import escaped
from cuvis_ai.pipeline.graph import Graph


def run(arguments: Sequence[str]) -> None:
    """Print what a saved graph or a scene is.

    Example:
        cuvis-ai show outputs/trained_graph.zip
        cuvis-ai show scene.hdr

    Of a graph (.zip): its structure, bands, thresholds, arguments and facts of its fit. Of a scene, in any
    format that is read: size, type, wavelengths, bad bands, no-data values and georeference.
    """
    parser = parser_of("show")
    parser.add_argument(
        "file", help="a zip that graph.save_to_file wrote, or a scene; of a TIFF or zarr store also its URL"
    )
    parser.add_argument("--key", help="the cube's array in a file of several")
    parser.add_argument("--axes", help='order of the axes of arrays, such as "chw"')
    add_allow(parser)
    chosen = parser.parse_args(arguments)
    if Path(chosen.file).suffix.lower() == ".zip":
        graph = Graph.load_from_file(chosen.file, allow=chosen.allow)
        print(graph)
        facts = graph.facts()
    else:
        facts = open_cube(chosen.file, chosen.key, axes=chosen.axes).facts()
    for name, text in facts:
        print(escaped(f"{name}: {text}"))
