"""The layout of a graph's structure: where nodes, leaves and edges stand in the report's drawing."""

from typing import NamedTuple

from cuvis_ai.training.monitors.records import Outline, OutlineNode

_WIDTH, _HEIGHT, _LEAF, _GAP_X, _GAP_Y = 250, 46, 26, 60, 26
_CUBE = OutlineNode(name="cube", kind="input", arguments={}, parents=(), is_leaf=False)


class Box(NamedTuple):
    """A node or leaf in the drawing, lengths in pixels."""

    node: OutlineNode
    x: int
    y: int
    width: int
    height: int


class Diagram(NamedTuple):
    """A graph's structure, ready to be drawn."""

    width: int
    height: int
    nodes: list[Box]
    leaves: list[Box]
    edges: list[tuple[int, int, int, int]]
    """x and y of the right end of the parent, then of the left end of the child."""


def layout(outline: Outline) -> Diagram:
    """Return nodes in columns by their distance from the cube, each with its leaves below it."""
    column: dict[str, int] = {}
    boxes: dict[str, Box] = {}
    leaves: list[Box] = []
    bottom: dict[int, int] = {}
    for node in (_CUBE, *(node for node in outline.nodes if not node.is_leaf)):
        at = column[node.name] = 1 + max((column[name] for name in _parents(node)), default=-1)
        x, y = 10 + at * (_WIDTH + _GAP_X), bottom.get(at, 10)
        boxes[node.name] = Box(node, x, y, _WIDTH, _HEIGHT)
        y += _HEIGHT
        for leaf in outline.nodes:
            if leaf.is_leaf and leaf.parents == (node.name,):
                leaves.append(Box(leaf, x + 16, y + 6, _WIDTH - 16, _LEAF))
                y += _LEAF + 6
        bottom[at] = y + _GAP_Y
    edges = [_edge(boxes[name], box) for box in boxes.values() for name in _parents(box.node)]
    width = 20 + (1 + max(column.values())) * (_WIDTH + _GAP_X) - _GAP_X
    return Diagram(width, max(bottom.values()), list(boxes.values()), leaves, edges)


def _parents(node: OutlineNode) -> tuple[str, ...]:
    return () if node is _CUBE else node.parents or ("cube",)


def _edge(parent: Box, child: Box) -> tuple[int, int, int, int]:
    middle = _HEIGHT // 2
    return parent.x + parent.width, parent.y + middle, child.x, child.y + middle
