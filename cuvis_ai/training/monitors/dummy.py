"""A monitor that writes plain files."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from cuvis_ai.training.monitors.files import claim, cut, move_aside
from cuvis_ai.training.monitors.records import Drawn, Ending, Histogram, Outline, Run, Scalar, Text

_FILES = ("metrics.jsonl", "histograms.jsonl", "texts.jsonl", "graph.mmd", "pictures")


class DummyMonitor:
    """Writes `metrics.jsonl`, one row a value, and the pictures into a folder.

    Rows hold name, value, step, epoch, global_step and stage. Files of an earlier run are moved aside
    with their time stamp; a resumed run appends to the rows that are older than its checkpoint. Beside it
    come `histograms.jsonl`, `texts.jsonl`, `graph.mmd` (Mermaid), and
    `pictures/<stage>/<leaf>/<picture>_epoch_0003.png` with the data behind each picture as `.npz`.

    Args:
        output_dir: the folder; made if missing.
        save_thumbnails: whether pictures are written as PNG too; False leaves their data alone.
    """

    def __init__(self, output_dir: str | Path, save_thumbnails: bool = True) -> None:
        self.output_dir = str(output_dir)
        self.save_thumbnails = save_thumbnails
        self._open: dict[str, TextIO] = {}
        self._lock: TextIO | None = None

    @property
    def path(self) -> Path:
        """The file that holds the values."""
        return Path(self.output_dir) / "metrics.jsonl"

    def setup(self, run: Run) -> None:
        """Move files of an earlier run aside, and open `metrics.jsonl`.

        Raises:
            ConfigError: the folder cannot be written to, or another run writes to it.
        """
        folder = Path(self.output_dir)
        self._lock = claim(folder, "DummyMonitor: output_dir")
        if run.resumed_epoch is None:
            move_aside(folder, _FILES)
        else:
            _cut_back(folder, run)
        (folder / "graph.mmd").write_text(run.structure + "\n", encoding="utf-8")
        self._open = {"metrics": self._file("metrics")}

    def _file(self, stem: str) -> TextIO:
        return (Path(self.output_dir) / f"{stem}.jsonl").open("a", encoding="utf-8")

    def _append(self, stem: str, rows: Iterable[Mapping[str, Any]]) -> None:
        if not self._open:
            raise RuntimeError("DummyMonitor: expected `setup` before it logs. `graph.train` calls it.")
        if stem not in self._open:
            self._open[stem] = self._file(stem)
        file = self._open[stem]
        file.writelines(json.dumps(row) + "\n" for row in rows)
        file.flush()

    def log_scalars(self, scalars: Sequence[Scalar]) -> None:
        """Write one row a value, and flush."""
        rows = [asdict(scalar) for scalar in scalars]
        for row in rows:
            # JSON has no NaN and no infinity.
            row["value"] = row["value"] if math.isfinite(row["value"]) else None
        self._append("metrics", rows)

    def log_figures(self, figures: Sequence[Drawn]) -> None:
        """Write an image and a file of arrays for each picture."""
        for drawn in figures:
            folder = Path(self.output_dir, "pictures", drawn.stage, _safe(drawn.leaf))
            folder.mkdir(parents=True, exist_ok=True)
            stem = folder / f"{_safe(drawn.picture)}_epoch_{drawn.epoch:04d}"
            if self.save_thumbnails:
                stem.with_name(f"{stem.name}.png").write_bytes(drawn.png)
            arrays: dict[str, Any] = dict(drawn.data)
            np.savez_compressed(stem.with_name(f"{stem.name}.npz"), **arrays)

    def log_histograms(self, histograms: Sequence[Histogram]) -> None:
        """Write one row a histogram."""
        rows = [asdict(histogram) for histogram in histograms]
        for row in rows:
            row |= {"counts": row["counts"].tolist(), "edges": row["edges"].tolist()}
        self._append("histograms", rows)

    def log_text(self, text: Text) -> None:
        """Write a row."""
        self._append("texts", [asdict(text)])

    def log_graph(self, outline: Outline) -> None:
        """Do nothing: `setup` has written the graph."""

    def close(self, ending: Ending) -> None:
        """Close the files, all of them even if the disk is full for one; others may write here then."""
        with ExitStack() as stack:
            if self._lock is not None:
                stack.callback(self._lock.close)
            for file in self._open.values():
                stack.callback(file.close)
            self._open, self._lock = {}, None


def _cut_back(folder: Path, run: Run) -> None:
    """Leave out what a run that goes on from a checkpoint will record again."""

    def follows(row: Mapping[str, Any]) -> bool:
        closing = row.get("stage") == "train" and not row["name"].endswith("_step")
        return run.follows(row["epoch"], row["global_step"], closing=closing)

    cut(folder / "metrics.jsonl", follows)
    cut(folder / "histograms.jsonl", follows)
    cut(folder / "texts.jsonl", lambda row: False)  # written at the start of every run


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)
