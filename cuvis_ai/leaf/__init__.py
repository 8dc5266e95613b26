"""The bases of losses, metrics and pictures, what they read of a graph, and what they need of a parent."""

from cuvis_ai.leaf.bases import (
    CompositeLoss,
    Leaf,
    Loss,
    Metric,
    Picture,
    Visualization,
    pooled,
)
from cuvis_ai.leaf.parents import (
    VARIANCE_OBSERVATIONS,
    explained_by,
    needs_choice,
    needs_components,
    needs_score,
    projection_of,
    selection_of,
)
from cuvis_ai.leaf.pooled_loss import PooledLoss
from cuvis_ai.leaf.reading import (
    Observation,
    Read,
    Sketches,
    Truth,
    View,
)

__all__ = [
    "VARIANCE_OBSERVATIONS",
    "CompositeLoss",
    "Leaf",
    "Loss",
    "Metric",
    "Observation",
    "Picture",
    "PooledLoss",
    "Read",
    "Sketches",
    "Truth",
    "View",
    "Visualization",
    "explained_by",
    "needs_choice",
    "needs_components",
    "needs_score",
    "pooled",
    "projection_of",
    "selection_of",
]
