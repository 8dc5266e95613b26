"""A monitor that writes plain files."""

import json
import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.paths import StrPath
from cuvis_ai.training.monitors.files import append, claim, cut, made_again, move_aside, safe_name, try_folder
from cuvis_ai.training.monitors.protocol import Monitor
from cuvis_ai.training.monitors.records import Drawn, Ending, Histogram, Run, Scalar, Text

_FILES = ("metrics.jsonl", "histograms.jsonl", "texts.jsonl", "settings.json", "graph.mmd", "pictures")


class DummyMonitor(Monitor):
    """Writes `metrics.jsonl`, one row a value, and the pictures into a folder.

    Rows hold name, value, step, epoch, global_step and stage. Files of an earlier run are moved aside
    with their time stamp; a resumed run appends to the rows that are older than its checkpoint. Beside it
    come `histograms.jsonl`, `texts.jsonl`, `settings.json`, `graph.mmd` (Mermaid), and
    `pictures/<stage>/<leaf>/<picture>_epoch_0003.png` with the data behind each picture as `.npz`.

    Args:
        output_dir: the folder; made if missing.
        save_thumbnails: whether pictures are written as PNG too; False leaves their data alone.

    Example:
        >>> from cuvis_ai.training.monitors.records import Scalar
        >>> monitor = DummyMonitor("artifacts")  # `graph.register_monitor(monitor)` lets a run do the rest
        >>> monitor.setup(Run(name="rx", settings={}, structure=""))
        >>> row = Scalar(
        ...     name="val/metric/anomaly_auroc", value=0.98, step=0, epoch=0, global_step=0, stage="val"
        ... )
        >>> monitor.log_scalars([row])
        >>> print(Path("artifacts/metrics.jsonl").read_text())
        {"name": "val/metric/anomaly_auroc", "value": 0.98, "step": 0, "epoch": 0, ...}
    """

    def __init__(self, output_dir: StrPath, save_thumbnails: bool = True) -> None:
        self.output_dir = os.fspath(output_dir)
        self.save_thumbnails = save_thumbnails
        self._held = ExitStack()

    @property
    def path(self) -> Path:
        """The file that holds the values."""
        return Path(self.output_dir) / "metrics.jsonl"

    def where(self) -> str:
        """Say where the output is."""
        return f"Values and pictures are in {self.output_dir}"

    def try_folder(self) -> None:
        """See whether the folder can be written to."""
        try_folder(self.path.parent, "DummyMonitor", "output_dir")

    def files(self) -> list[Path]:
        """What is written."""
        return [self.path.parent / name for name in _FILES]

    def setup(self, run: Run) -> None:
        """Move files of an earlier run aside, and write the settings and the graph.

        Raises:
            ConfigError: the folder cannot be written to, or another run writes to it.
        """
        folder = self.path.parent
        self._held.callback(claim(folder, "DummyMonitor", "output_dir").release, force=True)
        if run.resumed_epoch is None:
            move_aside(folder, _FILES)
        else:
            cut(self.path, run.follows)
            cut(folder / "histograms.jsonl", run.follows)
            cut(folder / "texts.jsonl", lambda row: False)  # written at the start of every run
        settings = json.dumps(dict(run.settings), indent=1, default=str)
        (folder / "settings.json").write_text(settings + "\n", encoding="utf-8")
        (folder / "graph.mmd").write_text(run.structure + "\n", encoding="utf-8")
        self.path.touch()

    def log_scalars(self, scalars: Sequence[Scalar]) -> None:
        """Write one row a value."""
        made_again(self.path, "DummyMonitor")
        # JSON has no NaN and no infinity.
        append(
            self.path,
            (asdict(one) | {"value": one.value if math.isfinite(one.value) else None} for one in scalars),
        )

    def log_figures(self, figures: Sequence[Drawn]) -> None:
        """Write an image and a file of arrays for each picture."""
        for drawn in figures:
            folder = Path(self.output_dir, "pictures", drawn.stage, safe_name(drawn.leaf))
            folder.mkdir(parents=True, exist_ok=True)
            stem = f"{safe_name(drawn.picture)}_epoch_{drawn.epoch:04d}"
            if self.save_thumbnails:
                (folder / f"{stem}.png").write_bytes(drawn.png)
            arrays: dict[str, Any] = dict(drawn.data)
            np.savez_compressed(folder / f"{stem}.npz", **arrays)

    def log_histograms(self, histograms: Sequence[Histogram]) -> None:
        """Write one row a histogram."""
        rows = (
            asdict(one) | {"counts": one.counts.tolist(), "edges": one.edges.tolist()} for one in histograms
        )
        append(self.path.with_name("histograms.jsonl"), rows)

    def log_text(self, text: Text) -> None:
        """Write a row."""
        append(self.path.with_name("texts.jsonl"), [asdict(text)])

    def close(self, ending: Ending) -> None:
        """Let others write to the folder."""
        self._held.close()
