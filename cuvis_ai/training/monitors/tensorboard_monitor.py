"""A monitor that writes TensorBoard's event files."""

import os
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cuvis_ai.errors import import_extra
from cuvis_ai.paths import StrPath
from cuvis_ai.training.monitors.files import claim, safe_name, time_stamp, try_folder
from cuvis_ai.training.monitors.protocol import Monitor
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
    from torch.utils.tensorboard import FileWriter, SummaryWriter


_EVENTS = "events.out.tfevents.*"


class TensorBoardMonitor(Monitor):
    """Writes scalars, pictures, histograms, texts, the graph, and hyper-parameters with final values.

    `tensorboard --logdir=<log_dir>` shows them. The run's folder in `log_dir`, by which TensorBoard names
    it, is called like the graph; that of an earlier run of the same name gets its time added and stays a run
    of its own. A resumed run goes on beside the earlier file. TensorBoard keeps scalars in single precision.

    Args:
        log_dir: the folder; made if missing.
        flush_secs: seconds between two writes to disk; above 0.

    Example:
        >>> from cuvis_ai.pipeline.graph import Graph
        >>> graph, monitor = Graph("rx"), TensorBoardMonitor("outputs/tensorboard")
        >>> graph.register_monitor(monitor)
        >>> monitor.where()
        'TensorBoard shows the run: tensorboard --logdir=outputs/tensorboard'
    """

    _writer: "SummaryWriter"
    """Open from `setup` to `close`."""

    def __init__(self, log_dir: StrPath, flush_secs: int = 120) -> None:
        self.log_dir = os.fspath(log_dir)
        self.flush_secs = flush_secs
        self._settings: dict[str, Any] = {}
        self._held = ExitStack()

    def where(self) -> str:
        """Say how the output is shown."""
        return f"TensorBoard shows the run: tensorboard --logdir={self.log_dir}"

    def try_folder(self) -> None:
        """See whether the folder can be written to."""
        try_folder(Path(self.log_dir), "TensorBoardMonitor", "log_dir")

    def files(self) -> list[Path]:
        """What is written."""
        return [Path(self.log_dir) / "*" / _EVENTS]

    def setup(self, run: Run) -> None:
        """Open an event file.

        Raises:
            MissingExtraError: tensorboard is not installed.
            ConfigError: the folder cannot be written to, or another run writes to it.
        """
        import_extra("tensorboard", "tensorboard", "TensorBoardMonitor")
        from torch.utils.tensorboard import SummaryWriter

        folder = Path(self.log_dir)
        self._held.callback(claim(folder, "TensorBoardMonitor", "log_dir").release, force=True)
        if run.resumed_epoch is None:
            _move_run_aside(folder / safe_name(run.name))
        self._settings = flattened(run.settings)
        self._writer = SummaryWriter(str(folder / safe_name(run.name)), flush_secs=self.flush_secs)
        self._held.callback(self._writer.close)
        listed = "\n".join(f"| {key} | {value} |" for key, value in self._settings.items())
        self._writer.add_text("configuration", f"| setting | value |\n|---|---|\n{listed}")

    @property
    def _events(self) -> "FileWriter":
        """The event file itself, for what `SummaryWriter` has no method for."""
        assert self._writer.file_writer is not None  # opened with the writer
        return self._writer.file_writer

    def log_scalars(self, scalars: Sequence[Scalar]) -> None:
        """Record values."""
        for scalar in scalars:
            self._writer.add_scalar(scalar.name, scalar.value, scalar.step)

    def log_figures(self, figures: Sequence[Drawn]) -> None:
        """Record pictures, as they were rendered."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        for drawn in figures:
            # A PNG file says its size in the first part, which comes first.
            width, height = struct.unpack(">II", drawn.png[16:24])
            image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=drawn.png)
            self._events.add_summary(Summary(value=[Summary.Value(tag=drawn.name, image=image)]), drawn.epoch)

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
        """Record a text; what it says of the data also as hyper-parameters, by which runs are compared."""
        self._settings |= flattened({text.name: text.facts})
        self._writer.add_text(text.name, text.text)

    def log_graph(self, outline: Outline) -> None:
        """Record the structure: a node for each node and leaf, its arguments as attributes.

        Leaves stand in one group for each node. Alone, they would give it so many edges that TensorBoard
        takes it out of the pipeline and draws it aside.
        """
        from tensorboard.compat.proto.attr_value_pb2 import AttrValue
        from tensorboard.compat.proto.config_pb2 import RunMetadata
        from tensorboard.compat.proto.graph_pb2 import GraphDef
        from tensorboard.compat.proto.node_def_pb2 import NodeDef

        nodes = [NodeDef(name="cube", op="Cube")]
        for node in outline.nodes:
            attributes = {key: AttrValue(s=value.encode()) for key, value in node.arguments.items()}
            inputs = node.parents or ("cube",)
            # A dot is in no name of a node.
            name = f"{node.parents[0]}.leaves/{node.name}" if node.is_leaf else node.name
            nodes.append(NodeDef(name=name, op=node.kind, input=inputs, attr=attributes))
        self._events.add_graph((GraphDef(node=nodes), RunMetadata()))

    def close(self, ending: Ending) -> None:
        """Record hyper-parameters and final values, and close the file."""
        from torch.utils.tensorboard.summary import hparams

        plain = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in self._settings.items()
        }
        with self._held:
            # `SummaryWriter.add_hparams` would open a second file, shown as a second run.
            for summary in hparams(plain, dict(ending.values)):
                self._events.add_summary(summary)
        del self._writer


def _move_run_aside(folder: Path) -> None:
    """Add the time to the name of an earlier run's folder."""
    if events := sorted(folder.glob(_EVENTS)):
        stamp = time_stamp(events[0], lambda stamp: folder.with_name(f"{folder.name}.{stamp}").exists())
        folder.rename(folder.with_name(f"{folder.name}.{stamp}"))
