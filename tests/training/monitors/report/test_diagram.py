"""The diagram: nodes in columns by their distance from the cube, leaves below, nothing over anything else."""

from itertools import combinations

import pytest

from cuvis_ai.training.monitors import Outline, OutlineNode
from cuvis_ai.training.monitors.report.diagram import layout
from cuvis_ai.training.monitors.report.record import read_record
from tests.training.monitors.report_page import Tables

PARENTS = {
    "chain": {"a": (), "b": ("a",), "c": ("b",)},
    "branches": {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")},
    "apart": {"a": (), "b": (), "c": ("b",)},
    "skip": {"a": (), "b": ("a",), "c": ("a", "b")},
}


def outline(parents):
    nodes = [
        OutlineNode(name=n, kind="K", arguments={}, parents=p, is_leaf=False) for n, p in parents.items()
    ]
    leaves = [
        OutlineNode(name=f"{n}_{i}", kind="L", arguments={}, parents=(n,), is_leaf=True)
        for n in parents
        for i in "12"
    ]
    return Outline(nodes=(*nodes, *leaves))


@pytest.mark.parametrize("parents", PARENTS.values(), ids=PARENTS)
def test_edges_point_right_and_no_box_covers_another(parents):
    diagram = layout(outline(parents))
    assert {box.node.name for box in diagram.nodes} == {"cube", *parents}
    assert len(diagram.leaves) == 2 * len(parents)
    assert len(diagram.edges) == sum(max(len(of), 1) for of in parents.values())
    assert all(start < end for start, _, end, _ in diagram.edges)
    boxes = [*diagram.nodes, *diagram.leaves]
    for one, other in combinations(boxes, 2):
        apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert apart_x or one.y + one.height <= other.y or other.y + other.height <= one.y
    assert max(box.x + box.width for box in boxes) <= diagram.width
    assert max(box.y + box.height for box in boxes) <= diagram.height


def test_leaves_stand_below_their_node():
    diagram = layout(outline(PARENTS["branches"]))
    nodes = {box.node.name: box for box in diagram.nodes}
    for leaf in diagram.leaves:
        node = nodes[leaf.node.parents[0]]
        assert node.x < leaf.x < node.x + node.width
        assert leaf.y > node.y + node.height


def test_the_page_draws_each_node_and_leaf(folder):
    text = (folder / "report.html").read_text()
    for node in read_record(folder / "report.jsonl").outline.nodes:
        assert f">{node.name}</text>" in text
    assert text.count('class="edge"') == 3
    assert "Graph" in Tables(text).titles
