"""A monitor that writes TensorBoard's event files."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from cuvis_ai.errors import import_extra
from cuvis_ai.training.monitors.files import claim
from cuvis_ai.training.monitors.records import (
    Drawn,
    Ending,
    Histogram,
    Outline,
    Run,
    Scalar,
    Text,
    flattened,
)

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardMonitor:
    """Writes scalars, pictures, histograms, texts, the graph, and hyper-parameters with final values.

    `tensorboard --logdir=<log_dir>` shows them. Event files of an earlier run are moved into a folder
    below, named by their time, where TensorBoard shows them as a run of their own; a resumed run goes on
    beside the earlier file. TensorBoard keeps scalars in single precision.

    Args:
        log_dir: the folder; made if missing.
        flush_secs: seconds between two writes to disk; above 0.
    """

    def __init__(self, log_dir: str | Path, flush_secs: int = 120) -> None:
        self.log_dir = str(log_dir)
        self.flush_secs = flush_secs
        self._open: SummaryWriter | None = None
        self._settings: dict[str, Any] = {}
        self._lock: TextIO | None = None

    @property
    def _writer(self) -> "SummaryWriter":
        if self._open is None:
            raise RuntimeError("TensorBoardMonitor: expected `setup` before it logs. `graph.train` calls it.")
        return self._open

    def setup(self, run: Run) -> None:
        """Open an event file.

        Raises:
            MissingExtraError: tensorboard is not installed.
            ConfigError: the folder cannot be written to, or another run writes to it.
        """
        import_extra("tensorboard", "tensorboard", "TensorBoardMonitor")
        from torch.utils.tensorboard import SummaryWriter

        self._lock = claim(Path(self.log_dir), "TensorBoardMonitor: log_dir")
        if run.resumed_epoch is None:
            _move_events_aside(Path(self.log_dir))
        self._settings = flattened(run.settings)
        self._open = SummaryWriter(self.log_dir, flush_secs=self.flush_secs)
        listed = "\n".join(f"| {key} | {value} |" for key, value in self._settings.items())
        self._open.add_text("configuration", f"| setting | value |\n|---|---|\n{listed}")

    def log_scalars(self, scalars: Sequence[Scalar]) -> None:
        """Record values."""
        for scalar in scalars:
            self._writer.add_scalar(scalar.name, scalar.value, scalar.step)

    def log_figures(self, figures: Sequence[Drawn]) -> None:
        """Record pictures, as they were rendered."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        writer = self._writer.file_writer
        assert writer is not None
        for drawn in figures:
            # A PNG file says its size in the first part, which comes first.
            width, height = struct.unpack(">II", drawn.png[16:24])
            image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=drawn.png)
            writer.add_summary(Summary(value=[Summary.Value(tag=drawn.name, image=image)]), drawn.epoch)

    def log_histograms(self, histograms: Sequence[Histogram]) -> None:
        """Record distributions."""
        for histogram in histograms:
            n = int(histogram.counts.sum())
            self._writer.add_histogram_raw(
                histogram.name,
                min=float(histogram.edges[0]),
                max=float(histogram.edges[-1]),
                num=n,
                sum=histogram.mean * n,
                sum_squares=(histogram.std**2 + histogram.mean**2) * n,
                bucket_limits=histogram.edges[1:].tolist(),
                bucket_counts=histogram.counts.tolist(),
                global_step=histogram.epoch,
            )

    def log_text(self, text: Text) -> None:
        """Record a text."""
        self._writer.add_text(text.name, text.text)

    def log_graph(self, outline: Outline) -> None:
        """Record the structure: a node for each node and leaf, its arguments as attributes."""
        from tensorboard.compat.proto.attr_value_pb2 import AttrValue
        from tensorboard.compat.proto.config_pb2 import RunMetadata
        from tensorboard.compat.proto.graph_pb2 import GraphDef
        from tensorboard.compat.proto.node_def_pb2 import NodeDef

        nodes = [NodeDef(name="cube", op="Cube")]
        for node in outline.nodes:
            attributes = {key: AttrValue(s=value.encode()) for key, value in node.arguments.items()}
            inputs = node.parents or ("cube",)
            nodes.append(NodeDef(name=node.name, op=node.kind, input=inputs, attr=attributes))
        writer = self._writer.file_writer
        assert writer is not None
        writer.add_graph((GraphDef(node=nodes), RunMetadata()))

    def close(self, ending: Ending) -> None:
        """Record hyper-parameters and final values, and close the file."""
        from torch.utils.tensorboard.summary import hparams

        plain = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in self._settings.items()
        }
        # `SummaryWriter.add_hparams` would open a second file, shown as a second run.
        writer = self._writer.file_writer
        assert writer is not None
        for summary in hparams(plain, dict(ending.values)):
            writer.add_summary(summary)
        self._writer.close()
        self._open = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _move_events_aside(folder: Path) -> None:
    events = sorted(folder.glob("events.out.tfevents.*"))
    if not events:
        return
    changed = datetime.fromtimestamp(events[0].stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (changed if i == 1 else f"{changed}-{i}" for i in range(1, 10_000))
    aside = next(folder / name for name in names if not (folder / name).exists())
    aside.mkdir()
    for event in events:
        event.rename(aside / event.name)
