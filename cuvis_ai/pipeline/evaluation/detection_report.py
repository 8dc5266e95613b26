"""The page about detections in scenes: pictures, tables of detections, and measures where there are masks."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cuvis_ai.data.cube import open_cube
from cuvis_ai.data.folders import cube_name
from cuvis_ai.pipeline.evaluation.evaluation_files import curve_pictures
from cuvis_ai.pipeline.evaluation.measures import DETECTION_RATES, Measures
from cuvis_ai.pipeline.evaluation.scene_evaluation import STORED, SceneEvaluation
from cuvis_ai.pipeline.prediction.scene_outputs import facts_path
from cuvis_ai.training.monitors.report.rendering import Pictures, rendered
from cuvis_ai.whole_file import write_whole

REPORT = "report.html"

_LISTED = 20
"""Detections of a scene that the page lists, the strongest."""
_PICTURES = 1_600_000
"""Bytes of the page that pictures take at most; those of further scenes are loaded from beside it."""


def write_detection_report(
    scenes: Sequence[Path], folder: Path, evaluation: SceneEvaluation | None, false_alarm_rate: float | None
) -> Path:
    """Write `report.html` about the maps that `predict` or `detect` wrote, and return its path.

    Args:
        scenes: their files; those without finished maps are left out.
        folder: where the maps are, and the page goes.
        evaluation: what the scores are worth; None without masks.
        false_alarm_rate: what the threshold was chosen for; None: it was given as a score.
    """
    written: dict[Path, dict[str, Any]] = {
        scene: json.loads(path.read_text(encoding="utf-8"))
        for scene in scenes
        if (path := facts_path(folder, cube_name(scene))).exists()
    }
    measured = {} if evaluation is None else {one.name: one for one in evaluation.scenes}
    pictures = Pictures(_PICTURES)
    shown = [_shown(scene, facts, folder, pictures, measured) for scene, facts in written.items()]
    counts = [facts["detections"] for facts in written.values()]
    n = len(shown)
    page = rendered(
        "detections.html",
        title=f"Detections in {shown[0]['name'] if n == 1 else f'{n} scenes'}" if n else "No scene",
        summary=_summary(counts, sum(facts["valid_pixels"] for facts in written.values())),
        threshold=_threshold(written.values(), false_alarm_rate),
        measures=[] if evaluation is None else measure_rows(evaluation.pooled),
        curves={}
        if evaluation is None
        else {name: pictures.source(png, f"{name}.png") for name, png in curve_pictures(evaluation).items()},
        overview=_overview(shown, measured),
        scenes=shown,
    )
    write_whole(folder / REPORT, page.encode())
    return folder / REPORT


def _summary(counts: Sequence[int | None], pixels: int) -> str:
    if None in counts:
        return f"{pixels} pixels with data."
    total = sum(count or 0 for count in counts)
    return f"{total} detection{'' if total == 1 else 's'} among {pixels} pixels with data."


def _threshold(written: Any, false_alarm_rate: float | None) -> str:
    thresholds = sorted({facts["threshold"] for facts in written if facts["threshold"] is not None})
    if not thresholds:
        return "No threshold was applied."
    ends = dict.fromkeys(f"{thresholds[i]:.4g}" for i in (0, -1))
    text = f"Detected is a pixel whose score is above {' to '.join(ends)}"
    if false_alarm_rate is None:
        return f"{text}."
    return (
        f"{text}: the detector expects a share of {false_alarm_rate:g} of the normal pixels there, one of "
        f"{1 / false_alarm_rate:.4g}."
    )


def measure_rows(measures: Measures) -> list[tuple[str, str]]:
    """Return the names and values of measures, for a table; what is not defined is left out."""
    share = measures.anomalies / max(measures.pixels, 1)
    rates = {
        f"detection_rate_at_{rate:g}": f"detected at {100 * rate:g} % false alarms"
        for rate in DETECTION_RATES
    }
    names = {
        "auroc": "AUROC",
        "average_precision": f"average precision (guessing: {share:.3g})",
        "aupro": "AUPRO",
        **rates,
        f"{STORED}/precision": "precision at the threshold",
        f"{STORED}/recall": "recall at the threshold",
        f"{STORED}/f1": "F1 at the threshold",
        f"{STORED}/false_alarm_rate": "false-alarm rate at the threshold",
    }
    counted = f"{measures.anomalies} of {measures.pixels} ({share:.3%})"
    values = ((label, measures.values.get(key)) for key, label in names.items())
    return [
        ("anomalous pixels", counted),
        *((label, f"{value:.4f}") for label, value in values if value is not None),
    ]


def _shown(
    scene: Path,
    facts: Mapping[str, Any],
    folder: Path,
    pictures: Pictures,
    measured: Mapping[str, Measures],
) -> dict[str, Any]:
    name = cube_name(scene)
    picture, table = folder / f"{name}.png", folder / f"{name}_detections.csv"
    searched = facts["detections"] is not None and table.exists()
    header, *rows = csv.reader(io.StringIO(table.read_text(encoding="utf-8"))) if searched else [[]]
    columns = [i for i in range(len(header)) if any(row[i] for row in rows)]  # x, y without a map are empty
    return {
        "name": name,
        "picture": pictures.source(picture.read_bytes(), picture.name) if picture.exists() else None,
        "searched": searched,
        "header": [header[i] for i in columns],
        "detections": [[_rounded(row[i]) for i in columns] for row in rows[:_LISTED]],
        "more": max(0, len(rows) - _LISTED),
        "count": facts["detections"],
        "strongest": _rounded(rows[0][header.index("peak")]) if rows else "–",
        "facts": [
            *open_cube(scene).facts(),
            ("pixels with data", str(facts["valid_pixels"])),
            *(measure_rows(measured[name]) if len(measured) > 1 else ()),
        ],
    }


def _rounded(number: str) -> str:
    """A number of the table as the page has it: 4 digits after the point at most, none of a whole one."""
    value = float(number)
    return f"{value:.0f}" if value.is_integer() else f"{value:.4f}".rstrip("0").rstrip(".")


def _overview(shown: Sequence[Mapping[str, Any]], measured: Mapping[str, Measures]) -> list[list[str]]:
    """Return the table of scenes, its header first."""
    rows = [["scene", "detections", "strongest", *(["AUROC", "AP"] if measured else [])]]
    for scene in shown:
        row = [scene["name"], "–" if scene["count"] is None else str(scene["count"]), scene["strongest"]]
        if measured:
            values = measured[scene["name"]].values
            row += [
                "–" if value is None else f"{value:.4f}"
                for value in (values["auroc"], values["average_precision"])
            ]
        rows.append(row)
    return rows
