"""A graph's structure as an SVG drawing."""

from dataclasses import dataclass
from html import escape

from cuvis_ai.training.monitors.records import Outline, OutlineNode

_WIDTH, _HEIGHT, _LEAF, _GAP_X, _GAP_Y = 250, 46, 26, 60, 26


@dataclass(frozen=True)
class _Box:
    x: int
    y: int


def structure_svg(outline: Outline) -> str:
    """Return nodes in columns by their distance from the cube, each with its leaves below it."""
    nodes = [node for node in outline.nodes if not node.is_leaf]
    leaves = [node for node in outline.nodes if node.is_leaf]
    column = {"cube": 0}
    for node in nodes:
        column[node.name] = 1 + max((column[parent] for parent in node.parents), default=0)
    boxes: dict[str, _Box] = {}
    used: dict[int, int] = {}
    for name, at in column.items():
        below = sum(leaf.parents == (name,) for leaf in leaves)
        boxes[name] = _Box(10 + at * (_WIDTH + _GAP_X), used.get(at, 10))
        used[at] = boxes[name].y + _HEIGHT + below * (_LEAF + 6) + _GAP_Y
    parts = [_edge(boxes[parent], boxes[node.name]) for node in nodes for parent in node.parents or ("cube",)]
    parts.append(_node(boxes["cube"], "cube", "input", ""))
    for node in nodes:
        parts.append(_node(boxes[node.name], node.name, node.kind, _arguments(node)))
        hung = [leaf for leaf in leaves if leaf.parents == (node.name,)]
        parts += [_leaf(boxes[node.name], i, leaf) for i, leaf in enumerate(hung)]
    width = 20 + (1 + max(column.values())) * (_WIDTH + _GAP_X) - _GAP_X
    height = max(used.values())
    return (
        f'<svg viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img" '
        f'aria-label="structure of the graph">{"".join(parts)}</svg>'
    )


def _edge(start: _Box, end: _Box) -> str:
    x0, y0, x1, y1 = start.x + _WIDTH, start.y + _HEIGHT // 2, end.x, end.y + _HEIGHT // 2
    middle = (x0 + x1) // 2
    path = f"M{x0},{y0} C{middle},{y0} {middle},{y1} {x1 - 7},{y1}"
    arrow = f"M{x1 - 8},{y1 - 5} L{x1},{y1} L{x1 - 8},{y1 + 5} z"
    return f'<path d="{path}" class="edge"/><path d="{arrow}" class="arrow"/>'


def _node(box: _Box, name: str, kind: str, arguments: str) -> str:
    return (
        f'<g class="node"><title>{escape(arguments)}</title>'
        f'<rect x="{box.x}" y="{box.y}" width="{_WIDTH}" height="{_HEIGHT}" rx="4"/>'
        f'<text x="{box.x + 10}" y="{box.y + 20}" class="name">{escape(name)}</text>'
        f'<text x="{box.x + 10}" y="{box.y + 37}" class="kind">{escape(kind)}</text></g>'
    )


def _leaf(parent: _Box, i: int, leaf: OutlineNode) -> str:
    x, y = parent.x + 16, parent.y + _HEIGHT + 6 + i * (_LEAF + 6)
    return (
        f'<g class="leaf"><title>{escape(leaf.kind)} {escape(_arguments(leaf))}</title>'
        f'<rect x="{x}" y="{y}" width="{_WIDTH - 16}" height="{_LEAF}" rx="13"/>'
        f'<text x="{x + 12}" y="{y + 17}" class="kind">{escape(leaf.name)}</text></g>'
    )


def _arguments(node: OutlineNode) -> str:
    return ", ".join(f"{key}={value}" for key, value in node.arguments.items())
