"""The command `cuvis-ai evaluate`."""

import logging
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cuvis_ai.cli.command_line import parser_of
from cuvis_ai.cli.scene_arguments import add_allow, add_scene_arguments, add_truth_arguments
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.evaluation.evaluation_files import require_free, tables, write_evaluation
from cuvis_ai.pipeline.evaluation.score_sources import evaluate_maps
from cuvis_ai.pipeline.graph import Graph


def run(arguments: Sequence[str]) -> None:
    """Measure a saved graph on scenes with masks, or score maps that `predict` wrote.

    Example:
        cuvis-ai evaluate graph.zip flight/*.hdr --masks truth --out evaluation
        cuvis-ai evaluate graph.zip scene.mat --mask-key map
        cuvis-ai evaluate maps --masks truth

    Without --mask and --masks, masks are the files <scene>_mask.* beside the scenes, or those in masks/.
    Prints, pooled and for each scene, AUROC, average precision, AUPRO and detection rates; precision, recall,
    F1, IoU and false alarms at the graph's stored threshold, and at those above which a share of the normal
    pixels is. Of several scenes, with 95 % intervals by bootstrap over them.
    """
    parser = parser_of("evaluate")
    add_scene_arguments(parser, before="a graph's zip, then scenes; or score maps. Each a ")
    parser.add_argument("--mask", type=Path, help="file of the mask, for one scene")
    add_truth_arguments(parser)
    parser.add_argument("--threshold", type=float, help="in place of the graph's stored threshold")
    parser.add_argument(
        "--false-alarm-rate", type=float, action="append", dest="false_alarm_rates",
        help="share of the normal pixels to measure at (default: 0.01 and 0.001); repeatable",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="folder for the JSON and the pictures of curves")
    parser.add_argument("--overwrite", action="store_true", help="replace an evaluation in that folder")
    parser.add_argument(
        "--match-bands", action="store_true", help="take each scene's bands nearest to those of training"
    )
    add_allow(parser)
    parser.add_argument(
        "--device", default="cpu", help='where it is computed: "cpu", "cuda", "cuda:1", "mps"'
    )
    chosen = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    _evaluate(**{name: value for name, value in chosen.items() if value is not None})


def _evaluate(
    scenes: list[str],
    allow: list[str],
    device: str,
    overwrite: bool,
    out: Path | None = None,
    **options: object,
) -> None:
    if out is not None:
        require_free(out, overwrite=overwrite)
    facts: dict[str, str | list[str]] = {"data": scenes}
    if scenes[0].endswith(".zip"):
        if len(scenes) == 1:
            raise ConfigError(
                f"evaluate: expected scenes after the graph {scenes[0]}, got none. Name files or folders."
            )
        graph = Graph.load_from_file(scenes[0], allow=allow).to(device)
        facts = {"graph": scenes[0], "data": scenes[1:]}
        evaluation = graph.evaluate_scenes(scenes[1:], **options)  # type: ignore[arg-type]  # as the parser made them
    else:
        evaluation = evaluate_maps(scenes, **options)  # type: ignore[arg-type]  # likewise
    console = Console()
    for table in tables(evaluation):
        console.print(table)
    if out is not None:
        for path in write_evaluation(evaluation, out, facts, overwrite=overwrite):
            console.print(str(path), markup=False, highlight=False)
