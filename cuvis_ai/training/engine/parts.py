"""What of a graph is trained and evaluated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from cuvis_ai.execution.execution import Execution
from cuvis_ai.leaf import CompositeLoss, Loss, Metric, Visualization
from cuvis_ai.leaf.bases import Attached
from cuvis_ai.training.monitors import Monitor

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of one graph.

    Attributes:
        name: the graph's name.
        structure: the graph as Mermaid text, for monitors.
        execution: how the nodes are evaluated.
        nodes, leaves: all modules, by name.
        losses, composites, metrics, visualizations: the leaves, with their parents where these matter.
        monitors: where values go.
        withheld: texts that monitors are not given, such as passwords, and what they get instead.
        check_data: returns the bands of a data module that has been set up as text; raises if they do not
            suit the graph, or are others than the second argument's.
    """

    name: str
    structure: str
    execution: Execution
    nodes: nn.ModuleDict
    leaves: nn.ModuleDict
    losses: Sequence[Attached[Loss]]
    composites: Sequence[CompositeLoss]
    metrics: Sequence[Attached[Metric]]
    visualizations: Sequence[Attached[Visualization]]
    monitors: Sequence[Monitor]
    withheld: Mapping[str, str]
    check_data: Callable[["LightningDataModule", Mapping[str, str] | None], dict[str, str]]
