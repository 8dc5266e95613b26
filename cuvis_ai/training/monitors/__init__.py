"""Monitors: where the values, pictures and histograms of a run go.

A monitor is anything with the methods of `Monitor`. The `Recorder` hands each of them the same
records, on rank 0 alone.
"""

from cuvis_ai.training.monitors.dummy import DummyMonitor
from cuvis_ai.training.monitors.logger_monitor import LoggerMonitor
from cuvis_ai.training.monitors.protocol import Monitor
from cuvis_ai.training.monitors.recorder import Recorder
from cuvis_ai.training.monitors.records import (
    Drawn,
    Ending,
    Histogram,
    Outline,
    OutlineNode,
    Run,
    Scalar,
    Text,
)
from cuvis_ai.training.monitors.report import ReportMonitor
from cuvis_ai.training.monitors.tensorboard_monitor import TensorBoardMonitor
from cuvis_ai.training.monitors.wandb_monitor import WandBMonitor

__all__ = [
    "Drawn",
    "DummyMonitor",
    "Ending",
    "Histogram",
    "LoggerMonitor",
    "Monitor",
    "Outline",
    "OutlineNode",
    "Recorder",
    "ReportMonitor",
    "Run",
    "Scalar",
    "TensorBoardMonitor",
    "Text",
    "WandBMonitor",
]
