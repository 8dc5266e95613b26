"""The nodes and leaves of a graph: their names and places, their modules, their state."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from cuvis_ai.errors import GraphError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.execution.topology import Topology
from cuvis_ai.leaf import CompositeLoss, Leaf, Loss, Metric, Visualization
from cuvis_ai.leaf.bases import Attached
from cuvis_ai.node.base import Decodes, Node, freeze, reset
from cuvis_ai.node.base.state import plain_state
from cuvis_ai.pipeline.structure import mermaid
from cuvis_ai.training.engine.parts import Parts
from cuvis_ai.training.monitors import Monitor
from cuvis_ai.training.threshold import stored_threshold
from cuvis_ai.types import CUBE

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule

AnyNode = TypeVar("AnyNode", bound=Node)
AnyLeaf = TypeVar("AnyLeaf", bound=Leaf)
NodeOrName = Node | str


class Members:
    """What a graph consists of; every misfit is a `GraphError` that leaves it unchanged.

    Attributes:
        topology: names, parents and order.
        nodes, leaves: the modules by name.
        monitors: what receives what runs log.
        execution: how the nodes are evaluated.
    """

    def __init__(self) -> None:
        self.topology = Topology()
        self.nodes = nn.ModuleDict()
        self.leaves = nn.ModuleDict()
        self.monitors: list[Monitor] = []
        self.execution = Execution(self.topology, cast(Mapping[str, Node], self.nodes))

    # Building.

    def add_node(
        self, node: AnyNode, parent: NodeOrName | Sequence[NodeOrName] | None, name: str | None
    ) -> AnyNode:
        """Add a node and return it."""
        if not isinstance(node, Node):
            hint = " Use `add_leaf_node` for losses and metrics." if isinstance(node, Leaf) else ""
            raise GraphError(f"add_node: expected a Node, got {type(node).__name__}.{hint}")
        new = self._new_name(name, node)
        parents = [] if parent is None else self.names_of(parent)
        if parents and tuple(parents) != CUBE and not self.topology.parents:
            raise GraphError(f"node `{new}`: the first node reads the cube and has no parent.")
        decoder: Node = node
        encoders = [decoder.decodes()] if isinstance(decoder, Decodes) else []
        if isinstance(decoder, Decodes) and decoder.decodes() in self.nodes:  # else the topology refuses it
            decoder.bind(self.node(decoder.decodes()))
        self.topology.add_node(new, parents, encoders)
        node.name = new
        self.nodes[new] = node
        return node

    def add_leaf(self, leaf: AnyLeaf, parent: NodeOrName, name: str | None) -> AnyLeaf:
        """Attach a leaf to a node and return it."""
        if not isinstance(leaf, Leaf):
            hint = " Use `add_node` for nodes." if isinstance(leaf, Node) else ""
            raise GraphError(
                f"add_leaf_node: expected a loss, metric or picture, got {type(leaf).__name__}.{hint}"
            )
        new = self._new_name(name, leaf)
        names = self.names_of(parent)
        if len(names) != 1:
            raise GraphError(
                f"leaf `{new}`: expected one parent, got {names}. Attach a leaf of its own to each."
            )
        of = names[0]
        self._check_parent(leaf, of)
        if isinstance(leaf, CompositeLoss):
            self._adopt(leaf, of)
        self.topology.add_leaf(new, of)
        leaf.name = new
        self.leaves[new] = leaf
        return leaf

    def _adopt(self, composite: CompositeLoss, parent: str) -> None:
        """Check a composite's children, then attach those that are not attached yet to its parent."""
        owned = {name for one in self.attached(CompositeLoss) for name in one.leaf.child_losses}  # type: ignore[type-abstract]
        new = []
        for child in composite.child_losses:
            if isinstance(child, Loss):
                self._check_parent(child, parent)
                new.append(child)
            elif child in owned:
                raise GraphError(
                    f"{composite.label}: `{child}` is combined by another leaf. Give each loss once."
                )
            elif child not in self.leaves or not isinstance(self.leaf(child), Loss):
                raise GraphError(f"{composite.label}: `{child}` is no loss of this graph.")
        for child in new:
            self.add_leaf(child, parent, None)

    def _check_parent(self, leaf: Leaf, parent: str) -> None:
        leaf.check_parent(self.node(parent), self.execution.channels((parent,)))

    def possible_parents(self, leaf: Leaf) -> list[str]:
        """Return the names of the nodes that a leaf can be attached to."""
        found = []
        for name in self.topology.order():
            try:
                self._check_parent(leaf, name)
            except GraphError:
                continue
            found.append(name)
        return found

    def set_parent(self, child: Node | Leaf | str, parent: NodeOrName | Sequence[NodeOrName]) -> None:
        """Let a node read another parent, or several; or attach a leaf to another node."""
        name = self.name_of(child)
        parents = self.names_of(parent)
        if name in self.leaves and len(parents) == 1:
            self._check_parent(self.leaf(name), parents[0])
        self.topology.set_parents(name, parents)

    def remove(self, member: Node | Leaf | str) -> None:
        """Remove a leaf, or a node that no other reads, with its leaves."""
        for name in self.topology.remove(self.name_of(member)):
            modules = self.nodes if name in self.nodes else self.leaves
            gone = modules.pop(name)
            assert isinstance(gone, Node | Leaf)
            gone.name = None

    def _new_name(self, wanted: str | None, module: Node | Leaf) -> str:
        """Return the name for a new node or leaf, both checked to be free."""
        if module.name is not None:
            raise GraphError(
                f"{module.label} is in a graph already. Make a new one, or remove it there first."
            )
        new = self.topology.new_name(wanted, type(module).__name__)
        if hasattr(self.nodes, new):  # torch keeps modules as attributes
            raise GraphError(f"name `{new}`: torch uses it for itself. Choose another `name=`.")
        return new

    # Names and modules.

    def in_order(self) -> dict[str, Node]:
        """Return the nodes by name, parents before children."""
        return {name: self.node(name) for name in self.topology.order()}

    def node(self, name: str) -> Node:
        """Return a node."""
        if name not in self.nodes:
            listed = ", ".join(f"`{n}`" for n in self.nodes) or "no nodes"
            raise GraphError(f"`{name}` is no node of this graph. It has {listed}.")
        node = self.nodes[name]
        assert isinstance(node, Node)
        return node

    def leaf(self, name: str) -> Leaf:
        """Return a leaf."""
        leaf = self.leaves[name]
        assert isinstance(leaf, Leaf)
        return leaf

    def attached(self, kind: type[AnyLeaf]) -> list[Attached[AnyLeaf]]:
        """Return the leaves of a kind, with the nodes they are attached to."""
        typed = ((self.leaf(name), parent) for name, parent in self.topology.leaves.items())
        return [Attached(leaf, self.node(parent)) for leaf, parent in typed if isinstance(leaf, kind)]

    def name_of(self, member: Node | Leaf | str) -> str:
        """Return a member's name."""
        if isinstance(member, str):
            return member
        given: object = member
        if not isinstance(given, Node | Leaf):
            raise GraphError(
                f"expected a node or leaf of this graph, or its name, got {type(given).__name__}."
            )
        known = {id(m): name for modules in (self.nodes, self.leaves) for name, m in modules.items()}
        if id(member) not in known:
            raise GraphError(f"{member.label} is not in this graph. Add it first.")
        return known[id(member)]

    def names_of(self, parents: NodeOrName | Sequence[NodeOrName]) -> list[str]:
        """Return the names of one node or several."""
        many = [parents] if isinstance(parents, Node | str) else parents
        listed: object = many  # from a configuration it may be anything
        if not isinstance(listed, Sequence) or not all(isinstance(one, Node | Leaf | str) for one in listed):
            raise GraphError(f"parent: expected a node, its name, or a list of these, got {parents!r}.")
        return [self.name_of(parent) for parent in many]

    def stored_threshold(self, name: str) -> float | None:
        """Return the threshold that the graph stores for a node's scores; None if it stores none."""
        leaves = [one.leaf for one in self.attached(Leaf) if one.parent.name == name]
        return stored_threshold(self.node(name), leaves)

    def parts(
        self,
        *,
        name: str,
        withheld: Mapping[str, str],
        check_data: Callable[["LightningDataModule", Mapping[str, str] | None], dict[str, str]],
    ) -> Parts:
        """Return what is trained and evaluated, see `Parts`."""
        return Parts(
            name=name,
            structure=mermaid(self.topology, self.in_order()),
            execution=self.execution,
            nodes=self.nodes,
            leaves=self.leaves,
            losses=self.attached(Loss),  # type: ignore[type-abstract]
            composites=[one.leaf for one in self.attached(CompositeLoss)],  # type: ignore[type-abstract]
            metrics=self.attached(Metric),  # type: ignore[type-abstract]
            visualizations=self.attached(Visualization),  # type: ignore[type-abstract]
            monitors=self.monitors,
            withheld=withheld,
            check_data=check_data,
        )

    def add_monitor(self, monitor: Monitor) -> None:
        """Add a monitor."""
        if not isinstance(monitor, Monitor):
            raise GraphError(
                f"register_monitor: expected an object with the methods of "
                f"`cuvis_ai.training.monitors.Monitor`, got {type(monitor).__name__}."
            )
        self.monitors.append(monitor)

    # State.

    def reset(self) -> None:
        """Reset all statistics and trained weights."""
        for node in self.in_order().values():
            reset(node)
        for loss in self.attached(Loss):  # type: ignore[type-abstract]
            loss.leaf.reset()

    def state_dict(self) -> dict[str, Tensor]:
        """Return all fitted and trained state, by name."""
        of_nodes = {
            f"nodes.{name}.{key}": value
            for name, node in self.in_order().items()
            for key, value in plain_state(node, node.state_shapes).items()
        }
        return {**of_nodes, **self.leaves.state_dict(prefix="leaves.")}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Take the state that `state_dict` returned."""
        surplus = [name for name in state_dict if not str(name).startswith(("nodes.", "leaves."))]
        if surplus:
            raise GraphError(
                f"load_state_dict: expected `nodes.…` and `leaves.…`, got {surplus[:5]} besides."
            )
        constrained = [node for node in self.in_order().values() if is_parametrized(node)]
        for node in constrained:
            freeze(node)
        for modules, prefix in ((self.nodes, "nodes."), (self.leaves, "leaves.")):
            part = {k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)}
            try:
                modules.load_state_dict(part)
            except RuntimeError as err:  # torch lists the names and shapes that do not fit
                said = " ".join(str(err).split())
                raise GraphError(
                    f"load_state_dict: expected the state of this graph, got another: {said}"
                ) from err
        for node in constrained:
            node.prepare_for_train()
