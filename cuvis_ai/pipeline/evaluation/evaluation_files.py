"""An evaluation for readers: tables, JSON, and pictures of curves."""

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cuvis_ai.errors import escaped
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.evaluation.measures import DETECTION_RATES, Measures
from cuvis_ai.pipeline.evaluation.scene_evaluation import STORED, SceneEvaluation
from cuvis_ai.training.visualizations.precision_recall import quality_of, roc_of
from cuvis_ai.whole_file import write_whole

JSON_NAME = "evaluation.json"


def tables(evaluation: SceneEvaluation) -> Iterator[Table]:
    """Yield what needs no threshold, then what is at each threshold; a row per scene, and one of all."""
    columns = {"auroc": "AUROC", "average_precision": "AP", "aupro": "AUPRO"}
    columns |= {f"detection_rate_at_{rate:g}": f"det. {100 * rate:g} %" for rate in DETECTION_RATES}
    yield _table("Over all thresholds", evaluation, columns, counts=True)
    for name, threshold in evaluation.thresholds.items():
        where = "Stored threshold" if name == STORED else f"False alarms {name.removeprefix('rate_')}"
        kinds = {"precision": "precision", "recall": "recall", "f1": "F1", "iou": "IoU"}
        columns = {f"{name}/{key}": label for key, label in kinds.items()}
        columns[f"{name}/false_alarm_rate"] = "false alarms"
        yield _table(f"{where}: score > {threshold:.6g}", evaluation, columns, counts=False)


def _table(title: str, evaluation: SceneEvaluation, columns: Mapping[str, str], *, counts: bool) -> Table:
    table = Table(
        title=Text(title, style="table.title"), title_justify="left", box=SIMPLE_HEAD, collapse_padding=True,
        pad_edge=False,
    )  # fmt: skip
    table.add_column("scene", overflow="fold")
    for heading in [*(("pixels", "anomalies") if counts else ()), *columns.values()]:
        table.add_column(heading, justify="right")

    def add(one: Measures) -> None:
        sizes = (str(one.pixels), str(one.anomalies)) if counts else ()
        table.add_row(Text(escaped(one.name)), *sizes, *(_shown(one.values[key]) for key in columns))

    if len(evaluation.scenes) > 1:
        for scene in evaluation.scenes:
            add(scene)
        table.add_section()
    add(evaluation.pooled)
    if evaluation.intervals:
        for i, end in enumerate(("95 % from", "to")):
            bounds = (evaluation.intervals.get(key, (None, None))[i] for key in columns)
            table.add_row(end, *(("", "") if counts else ()), *map(_shown, bounds))
    return table


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def as_json(evaluation: SceneEvaluation, facts: Mapping[str, Any]) -> str:
    """Return all values as JSON; what is not defined is null."""
    content = {
        **facts,
        "thresholds": dict(evaluation.thresholds),
        "pooled": _plain(evaluation.pooled),
        "scenes": [_plain(scene) for scene in evaluation.scenes],
        "intervals_95": {name: list(ends) for name, ends in evaluation.intervals.items()},
    }
    return json.dumps(content, indent=1)


def _plain(one: Measures) -> dict[str, Any]:
    confusions = {name: confusion._asdict() for name, confusion in one.confusions.items()}
    sizes = {"name": one.name, "pixels": one.pixels, "anomalies": one.anomalies}
    return {**sizes, **one.values, "confusions": confusions}


def write_evaluation(
    evaluation: SceneEvaluation, folder: StrPath, facts: Mapping[str, Any] | None = None, *,
    overwrite: bool = False,
) -> list[Path]:  # fmt: skip
    """Write `evaluation.json`, `roc.png` and `precision_recall.png` and return their paths.

    Without an anomaly, or without a normal pixel, there is no curve to draw.

    Args:
        evaluation: the values.
        folder: where they go.
        facts: what else the JSON says: the graph, the data.
        overwrite: whether to replace an earlier evaluation.

    Raises:
        FileExistsError: an evaluation stands there.
    """
    folder = Path(folder)
    require_free(folder, overwrite=overwrite)
    files = [folder / JSON_NAME]
    write_whole(files[0], as_json(evaluation, facts or {}).encode())
    for name, png in curve_pictures(evaluation).items():
        files.append(folder / f"{name}.png")
        write_whole(files[-1], png)
    return files


def curve_pictures(evaluation: SceneEvaluation) -> dict[str, bytes]:
    """Return the pictures of the curves as PNG files by name; none where there is no curve."""
    curve = evaluation.scores.curve()
    pictures = {}
    for name, drawn in (("roc", roc_of(curve)), ("precision_recall", quality_of(curve))):
        if drawn is None:
            return {}
        content = BytesIO()
        drawn.figure().savefig(content, format="png", metadata={"Software": None})
        pictures[name] = content.getvalue()
    return pictures


def require_free(folder: Path, *, overwrite: bool) -> None:
    """Raise an error if an evaluation stands in a folder and shall not be replaced.

    Raises:
        FileExistsError: so it is.
    """
    if not overwrite and (folder / JSON_NAME).exists():
        raise FileExistsError(
            f"{folder}: expected a folder without an evaluation, got one. Pass --overwrite to replace it, or "
            "another folder."
        )
