"""The choice of bands that leaves look at."""

from cuvis_ai.errors import GraphError
from cuvis_ai.leaf.bases import Leaf
from cuvis_ai.node.base import Node
from cuvis_ai.node.base.selection import Selection


def selection_of(parent: Node, leaf: Leaf) -> Selection:
    """Return the parent as a choice of bands, or raise a `GraphError`."""
    if not isinstance(parent, Selection):
        raise GraphError(
            f"{leaf.label}: expected a parent that chooses channels, such as SoftChannelSelector, got "
            f"{parent.label}."
        )
    return parent
