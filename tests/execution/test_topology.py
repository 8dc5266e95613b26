"""Names, parents and order; every refused change leaves the topology as it was."""

import copy
from collections.abc import Callable

import pytest

from cuvis_ai.errors import GraphError
from cuvis_ai.execution.topology import Topology, snake_case, unique_name
from cuvis_ai.types import CUBE, SOURCE


def diamond() -> Topology:
    topology = Topology()
    topology.add_node("root", [])
    topology.add_node("left", ["root"])
    topology.add_node("right", ["root"])
    topology.add_node("end", ["right", "left"])
    topology.add_leaf("leaf", "end")
    return topology


@pytest.mark.parametrize(
    ("cls", "name"),
    [("MinMaxNormalizer", "min_max_normalizer"), ("TrainablePCA", "trainable_pca"),
     ("RXLogitHead", "rx_logit_head"), ("RXGlobal", "rx_global"), ("PCADecoder", "pca_decoder")],
)  # fmt: skip
def test_readable_names(cls: str, name: str) -> None:
    assert snake_case(cls) == name
    assert unique_name(name, [name, f"{name}_2"]) == f"{name}_3"


def test_order_inputs_ends_and_ancestors() -> None:
    topology = diamond()
    order = topology.order()
    assert order[0] == "root"
    assert order[-1] == "end"
    assert topology.input_of("root") == CUBE
    assert topology.input_of("end") == ("right", "left")
    assert topology.ends() == ["end"]
    assert topology.ancestors(("left",)) == {"left", "root"}
    assert topology.ancestors(CUBE) == set()


def test_further_nodes_read_the_cube_where_it_is_named_as_their_parent() -> None:
    topology = diamond()
    topology.add_node("beside", CUBE)
    assert topology.input_of("beside") == CUBE
    assert topology.roots() == ["root", "beside"]
    assert topology.root == "root"
    assert topology.ancestors(("beside",)) == {"beside"}
    assert topology.ends() == ["end", "beside"]
    topology.set_parents("left", CUBE)
    assert topology.input_of("left") == CUBE
    topology.set_parents("beside", ["left"])
    assert topology.roots() == ["root", "left"]


REFUSED: list[tuple[str, Callable[[Topology], object], str]] = [
    ("cycle", lambda t: t.set_parents("left", ["end"]), "cycle"),
    ("self", lambda t: t.set_parents("left", ["left"]), "cycle"),
    ("second root", lambda t: t.add_node("new", []), "second root.*parent="),
    (
        "second root by set_parents",
        lambda t: t.set_parents("left", []),
        "a node must read the cube, and others than the first only with the parent '<cube>'",
    ),
    ("no root left", lambda t: t.set_parents("root", ["end"]), "cycle"),
    (
        "unknown parent",
        lambda t: t.add_node("new", ["nobody"]),
        "`nobody` is not in this graph. It has `root`",
    ),
    (
        "the cube beside a node",
        lambda t: t.add_node("new", ["root", SOURCE]),
        "`<cube>` is not in this graph",
    ),
    ("leaf as parent", lambda t: t.add_node("new", ["leaf"]), "is a leaf"),
    ("parent twice", lambda t: t.add_node("new", ["left", "left"]), "given twice"),
    ("leaf on unknown", lambda t: t.add_leaf("new", "nobody"), "not in this graph"),
    ("duplicate name", lambda t: t.new_name("left", "X"), "already taken"),
    ("duplicate leaf name", lambda t: t.new_name("leaf", "X"), "already taken"),
    ("name with a dot", lambda t: t.new_name("a.b", "X"), "Python identifier"),
    ("remove what is read", lambda t: t.remove("left"), "`end` reads it"),
    ("remove unknown", lambda t: t.remove("nobody"), "not in this graph"),
    ("two parents of a leaf", lambda t: t.set_parents("leaf", ["left", "right"]), "one parent"),
]


@pytest.mark.parametrize(("action", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_and_unchanged(action: Callable[[Topology], object], message: str) -> None:
    topology = diamond()
    before = copy.deepcopy(topology)
    with pytest.raises(GraphError, match=message):
        action(topology)
    assert topology == before


def test_removing_a_node_takes_its_leaves() -> None:
    topology = diamond()
    assert topology.remove("end") == ["end", "leaf"]
    assert topology.leaves == {}
    assert topology.ends() == ["left", "right"]


def test_references_count_as_dependencies() -> None:
    topology = Topology()
    topology.add_node("root", [])
    topology.add_node("pca", ["root"])
    topology.add_node("decoder", ["pca"], references=["pca"])
    assert topology.ancestors(("decoder",)) == {"root", "pca", "decoder"}
    topology.set_parents("decoder", ["root"])
    with pytest.raises(GraphError, match="cycle"):
        topology.set_parents("pca", ["decoder"])
    with pytest.raises(GraphError, match="uses its weights"):
        topology.remove("pca")
