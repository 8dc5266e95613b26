"""The bases of nodes, and what nodes share: fitted state, constructor arguments, further abilities."""

from cuvis_ai.node.base.node import (
    AffineNode,
    FittedNode,
    Node,
    check_channels,
    freeze,
    has_pointwise,
    mark_initialized,
    require_fitted,
    reset,
    sees_valid,
    structure_of,
)

__all__ = [
    "AffineNode",
    "FittedNode",
    "Node",
    "check_channels",
    "freeze",
    "has_pointwise",
    "mark_initialized",
    "require_fitted",
    "reset",
    "sees_valid",
    "structure_of",
]
