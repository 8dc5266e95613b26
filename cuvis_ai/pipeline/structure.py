"""A graph's structure as text: a tree for the terminal, Mermaid for everything that draws it."""

from collections.abc import Mapping

from torch import nn

from cuvis_ai.execution.topology import Topology
from cuvis_ai.node.base import Node, class_of


def tree(topology: Topology, nodes: Mapping[str, Node], leaves: nn.ModuleDict) -> list[str]:
    """Return one line a node, indented by depth, its leaves below it."""
    lines = []
    depth: dict[str, int] = {}
    for name in topology.order():
        parents = topology.parents[name]
        depth[name] = 1 + max((depth[parent] for parent in parents), default=0)
        indent = "  " * depth[name]
        also = f" <- {', '.join(parents)}" if len(parents) > 1 else ""
        state = "fitted" if nodes[name].fitted else "not fitted"
        kind = f"{class_of(nodes[name]).__name__}({nodes[name].extra_repr()})"
        lines.append(f"{indent}{name}: {kind}{also} [{state}]")
        attached = [leaf for leaf, of in topology.leaves.items() if of == name]
        lines += [f"{indent}  · {leaf}: {type(leaves[leaf]).__name__}" for leaf in attached]
    return lines


def mermaid(topology: Topology, nodes: Mapping[str, Node]) -> str:
    """Return a flowchart: solid arrows carry cubes, dotted lines attach leaves."""
    lines = ["flowchart LR", "  _cube([cube])"]
    for name in topology.order():
        lines.append(f'  {name}["{name}<br/><small>{class_of(nodes[name]).__name__}</small>"]')
        lines += [f"  {parent} --> {name}" for parent in topology.parents[name] or ("_cube",)]
    for name, parent in topology.leaves.items():
        lines.append(f'  {name}(["{name}"])')
        lines.append(f"  {parent} -.- {name}")
    return "\n".join(lines)
