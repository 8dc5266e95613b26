"""Names, parents and order of a graph's nodes and leaves, in plain Python.

Every change is checked first, so a `GraphError` leaves the graph as it was.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from cuvis_ai.errors import GraphError
from cuvis_ai.types import CUBE, SOURCE, Point

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def snake_case(class_name: str) -> str:
    """Return the readable name of a class: `RXLogitHead` gives `rx_logit_head`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()


def unique_name(stem: str, taken: Iterable[str]) -> str:
    """Return `stem`, or the first of `stem_2`, `stem_3`, … that is not taken."""
    names = set(taken)
    if stem not in names:
        return stem
    return next(name for i in range(2, len(names) + 3) if (name := f"{stem}_{i}") not in names)


@dataclass
class Topology:
    """Which node reads which, and which leaf is attached to which node.

    Attributes:
        parents: for each node its parents' names, in the order of concatenation; () for the root.
        leaves: for each leaf the node it is attached to.
        references: for a node that uses another's weights, the names of those others.
    """

    parents: dict[str, Point] = field(default_factory=dict)
    leaves: dict[str, str] = field(default_factory=dict)
    references: dict[str, Point] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Names of all nodes and leaves."""
        return {*self.parents, *self.leaves}

    @property
    def root(self) -> str:
        """The first node, which reads the cube."""
        return self.roots()[0]

    def roots(self) -> list[str]:
        """The nodes that read the cube, as added."""
        return [name for name, parents in self.parents.items() if not parents]

    def order(self) -> list[str]:
        """Nodes, parents before children; for equal rank as added."""
        return list(TopologicalSorter(self._dependencies(self.parents)).static_order())

    def _dependencies(self, parents: dict[str, Point]) -> dict[str, Point]:
        return {name: (*of_name, *self.references.get(name, ())) for name, of_name in parents.items()}

    def input_of(self, node: str) -> Point:
        """The point that a node reads."""
        return self.parents[node] or CUBE

    def children(self, node: str) -> list[str]:
        """Nodes that read `node`."""
        return [child for child, parents in self.parents.items() if node in parents]

    def ends(self) -> list[str]:
        """Nodes that no other reads."""
        read = {parent for parents in self.parents.values() for parent in parents}
        return [node for node in self.parents if node not in read]

    def end(self) -> str:
        """The node that no other reads; a `GraphError` where there are several."""
        ends = self.ends()
        if len(ends) != 1:
            listed = ", ".join(repr(end) for end in ends)
            raise GraphError(
                f"graph: expected one end node, got {len(ends)}. "
                f"Say which with `graph.run(cube, outputs=[{listed}])`."
            )
        return ends[0]

    def ancestors(self, point: Point) -> set[str]:
        """Nodes that the data at `point` depend on, those of the point included."""
        found: set[str] = set()
        pending = [name for name in point if name != SOURCE]
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending.extend((*self.parents[name], *self.references.get(name, ())))
        return found

    def new_name(self, wanted: str | None, class_name: str) -> str:
        """Return the name for a new node or leaf, checked to be free."""
        if wanted is None:
            return unique_name(snake_case(class_name), self.names)
        if not _NAME.fullmatch(wanted):
            raise GraphError(
                f"name `{wanted}`: expected a Python identifier. Use letters, digits and underscores."
            )
        if wanted in self.names:
            raise GraphError(f"name `{wanted}`: already taken in this graph. Choose another `name=`.")
        return wanted

    def add_node(self, name: str, parents: Sequence[str], references: Sequence[str] = ()) -> None:
        """Add a node that reads `parents`; the first reads the cube, others do with the parent CUBE."""
        reads_cube = tuple(parents) == CUBE
        self._check_parents(name, () if reads_cube else parents)
        self._check_parents(name, references, role="referenced node")
        if not parents and self.parents:
            raise GraphError(
                f"node `{name}`: a second root; `{self.root}` reads the cube already. "
                f"Pass `parent=`, for example `parent={self.ends()[-1]!r}`, or {SOURCE!r} if this is meant."
            )
        self.parents[name] = () if reads_cube else tuple(parents)
        if references:
            self.references[name] = tuple(references)

    def add_leaf(self, name: str, parent: str) -> None:
        """Attach a leaf to a node."""
        self._check_parents(name, [parent])
        self.leaves[name] = parent

    def set_parents(self, name: str, parents: Sequence[str]) -> None:
        """Let a node read other parents, or the cube as CUBE; or attach a leaf to another node."""
        reads_cube = tuple(parents) == CUBE and name in self.parents
        self._check_parents(name, () if reads_cube else parents)
        if name in self.leaves:
            if len(parents) != 1:
                raise GraphError(f"leaf `{name}`: expected one parent, got {len(parents)}.")
            self.leaves[name] = parents[0]
            return
        if name not in self.parents:
            raise GraphError(f"`{name}` is not in this graph. It has {self._listed()}.")
        proposal = {**self.parents, name: () if reads_cube else tuple(parents)}
        try:
            TopologicalSorter(self._dependencies(proposal)).prepare()
        except CycleError as err:
            raise GraphError(
                f"node `{name}`: reading {_ticked(parents)} would close the cycle "
                f"{' -> '.join(err.args[1])}. Choose a parent that does not depend on it."
            ) from err
        if all(proposal.values()) or not (parents or name in self.roots()):
            raise GraphError(
                f"node `{name}`: a node must read the cube, and others than the first only with the parent "
                f"{SOURCE!r}. Pass a parent."
            )
        self.parents = proposal

    def remove(self, name: str) -> list[str]:
        """Remove a leaf, or a node with its leaves; return the names removed."""
        if name in self.leaves:
            del self.leaves[name]
            return [name]
        if name not in self.parents:
            raise GraphError(f"`{name}` is not in this graph. It has {self._listed()}.")
        if children := self.children(name):
            raise GraphError(
                f"node `{name}`: {_ticked(children)} reads it. "
                f"Call `set_parent` or `remove_node` on {_ticked(children)} first."
            )
        if users := [user for user, used in self.references.items() if name in used]:
            raise GraphError(
                f"node `{name}`: {_ticked(users)} uses its weights. Remove {_ticked(users)} first."
            )
        gone = [leaf for leaf, parent in self.leaves.items() if parent == name]
        for leaf in gone:
            del self.leaves[leaf]
        del self.parents[name]
        self.references.pop(name, None)
        return [name, *gone]

    def _check_parents(self, name: str, parents: Sequence[str], role: str = "parent") -> None:
        for parent in parents:
            if parent in self.leaves:
                raise GraphError(f"`{name}`: {role} `{parent}` is a leaf; expected a node.")
            if parent not in self.parents:
                raise GraphError(
                    f"`{name}`: {role} `{parent}` is not in this graph. It has {self._listed()}."
                )
        if len(set(parents)) != len(parents):
            raise GraphError(f"`{name}`: the same parent is given twice in {_ticked(parents)}.")

    def _listed(self) -> str:
        return _ticked(self.parents) or "no nodes"


def _ticked(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
