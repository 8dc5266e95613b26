"""The command `cuvis-ai select-bands`."""

import logging
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from cuvis_ai.band_study import BandStudy, StudyRow, chosen_detector, study_bands
from cuvis_ai.cli.command_line import parser_of
from cuvis_ai.cli.scene_arguments import add_allow, add_scene_arguments, add_truth_arguments, numbers
from cuvis_ai.pipeline.scene_masks import MaskOptions


def run(arguments: Sequence[str]) -> None:
    """Say which k bands a camera needs for what scenes show, and what is lost with them.

    Example:
        cuvis-ai select-bands scene.mat --mask-key map --k 5,10,15,30 --out bands --save bands.zip
        cuvis-ai select-bands flight/*.hdr --masks truth
        cuvis-ai select-bands scene.hdr

    For each k the bands, the share of the others that they explain, and with masks how far apart they hold
    the two classes and how well RX on them detects on halves of the scenes that they were not chosen from;
    beside evenly spaced bands and all bands. The smallest k within one standard error of the best is marked;
    without masks, within .01 of the best R².
    Without masks the bands are those that explain the others best.
    """
    parser = parser_of("select-bands")
    add_scene_arguments(parser)
    add_allow(parser)
    parser.add_argument(
        "--k", type=numbers, default=[5, 10, 15, 30], metavar="N,N,…", help="numbers of bands"
    )
    parser.add_argument(
        "--methods", type=_names, metavar="NAME,…", help="separability, explained, uniform, variance"
    )
    parser.add_argument("--mask", type=Path, help="file of the mask, for one scene")
    add_truth_arguments(parser)
    parser.add_argument("--out", type=Path, help="folder for bands.csv and bands.png")
    parser.add_argument(
        "--save", type=Path, help="zip for RX on the marked bands, which `cuvis-ai predict` reads alone"
    )
    chosen = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    del chosen["allow"]  # its formats are known by now
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    out, save = chosen.pop("out", None), chosen.pop("save", None)
    truth = {one.name: chosen.pop(one.name) for one in fields(MaskOptions) if one.name in chosen}
    masks = MaskOptions(**truth) if any(truth.values()) else None
    study = study_bands(chosen.pop("scenes"), chosen.pop("k"), masks=masks, **chosen)
    console = Console()
    console.print(_table(study))
    for row in study.rows:
        if row.method == study.rows[0].method:
            mark = "*" if row.sufficient else " "
            console.print(f"{mark} {row.k} bands: {_bands(row)}", highlight=False, soft_wrap=True)
    for path in study.write(out) if out is not None else ():
        console.print(str(path), markup=False, highlight=False)
    if save is not None:
        chosen_detector(study).save_to_file(save)
        console.print(str(save), markup=False, highlight=False)


def _table(study: BandStudy) -> Table:
    labelled = any(row.auroc is not None for row in study.rows)
    margin = "one standard error of the best" if labelled else ".01 of the best R²"
    table = Table(caption=f"* the smallest k within {margin}", box=box.SIMPLE)
    for heading in ("method", "k", "R²", "distance", "AUROC", "AP", "stable"):
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    for row in study.rows:
        table.add_row(
            row.method, f"{row.k} {'*' if row.sufficient else ' '}", f"{row.explained:.3f}",
            "" if row.separability is None else f"{row.separability:.2f}",
            _with_error(row.auroc, row.auroc_error),
            _with_error(row.average_precision, row.average_precision_error),
            f"{row.stability:.0%}",
        )  # fmt: skip
    return table


def _bands(row: StudyRow) -> str:
    """Return the bands by number, or by wavelength and the names of the parts of the spectrum."""
    if row.wavelengths is None or row.regions is None:
        return ", ".join(map(str, row.bands))
    by_region: dict[str, list[str]] = {}
    for nm, name in zip(row.wavelengths, row.regions, strict=True):
        by_region.setdefault(name, []).append(f"{nm:.0f}")
    return "; ".join(f"{name} {', '.join(listed)} nm" for name, listed in by_region.items())


def _with_error(value: float | None, error: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" + ("" if error is None else f" ±{error:.3f}")


def _names(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]
