"""The bases of nodes, and what nodes share: fitted state, constructor arguments, further abilities.

All that a node's file needs of them is named here.
"""

from cuvis_ai.node.base.abilities import (
    Anchored,
    Decodes,
    Follows,
    FromLabel,
    Projection,
    Projects,
    Recorded,
    Reweights,
    anomalous_label,
    follower,
    reweighting,
)
from cuvis_ai.node.base.arguments import class_of, hyperparameters, is_whole, require
from cuvis_ai.node.base.node import (
    AffineNode,
    FittedNode,
    Node,
    check_channels,
    freeze,
    has_pointwise,
    mark_initialized,
    one_channel,
    require_fitted,
    reset,
    same_channels,
    sees_valid,
    structure_of,
)
from cuvis_ai.node.base.selection import Selection

__all__ = [
    "AffineNode",
    "Anchored",
    "Decodes",
    "FittedNode",
    "Follows",
    "FromLabel",
    "Node",
    "Projection",
    "Projects",
    "Recorded",
    "Reweights",
    "Selection",
    "anomalous_label",
    "check_channels",
    "class_of",
    "follower",
    "freeze",
    "has_pointwise",
    "hyperparameters",
    "is_whole",
    "mark_initialized",
    "one_channel",
    "require",
    "require_fitted",
    "reset",
    "reweighting",
    "same_channels",
    "sees_valid",
    "structure_of",
]
