"""The graph that users hold: build it, train it, apply it, save it.

A facade: names and order are those of `execution.topology`; `execution` computes, `training.engine`
trains, `pipeline.saving` writes files.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from cuvis_ai.errors import ArchiveError, GraphError, NotFittedError
from cuvis_ai.execution.execution import Execution, check_cube
from cuvis_ai.execution.topology import Topology
from cuvis_ai.leaf.bases import Attached, CompositeLoss, Leaf, Loss, Metric, Visualization
from cuvis_ai.leaf.reading import Evaluation
from cuvis_ai.node.base import Node, freeze, reset
from cuvis_ai.node.base.abilities import bind, references_of
from cuvis_ai.node.base.state import plain_state
from cuvis_ai.pipeline import structure
from cuvis_ai.pipeline.saving import archive
from cuvis_ai.pipeline.saving.probe import check_probe, probe
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.training.config import TrainingConfig
from cuvis_ai.training.monitors import Monitor
from cuvis_ai.types import CubeTensor, GraphOutput, Labels, PixelMask, Point

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule, Trainer

    from cuvis_ai.training.engine.parts import Parts

AnyNode = TypeVar("AnyNode", bound=Node)
AnyLeaf = TypeVar("AnyLeaf", bound=Leaf)
NodeOrName = Node | str


class Graph:
    """Nodes that map cubes to cubes, and the losses, metrics and pictures attached to them.

    Args:
        name: a readable name, used by monitors and in the saved file.

    Example:
        >>> from cuvis_ai.normalization.normalization import MinMaxNormalizer
        >>> graph = Graph("brightness")
        >>> node = graph.add_node(MinMaxNormalizer(use_running_stats=False))
        >>> graph(torch.rand(1, 61, 8, 8)).output.shape
        torch.Size([1, 61, 8, 8])
    """

    def __init__(self, name: str = "graph") -> None:
        self.name = name
        self.topology = Topology()
        self.nodes = nn.ModuleDict()
        self.leaves = nn.ModuleDict()
        self.monitors: list[Monitor] = []
        self.bands = TrainedBands()
        self._execution = Execution(self.topology, cast(Mapping[str, Node], self.nodes))

    # Building.

    def add_node(
        self,
        node: AnyNode,
        parent: NodeOrName | Sequence[NodeOrName] | None = None,
        *,
        name: str | None = None,
    ) -> AnyNode:
        """Add a node and return it.

        Args:
            node: the node; it can be in one graph only.
            parent: the node that it reads, or its name; several are concatenated along channels in
                this order. The first node has none: it reads the cube.
            name: its name in logs, weights and files; by default its class in snake case.

        Raises:
            GraphError: the node does not fit; the graph is unchanged.
        """
        if not isinstance(node, Node):
            hint = " Use `add_leaf_node` for losses and metrics." if isinstance(node, Leaf) else ""
            raise GraphError(f"add_node: expected a Node, got {type(node).__name__}.{hint}")
        self._check_free(node)
        new = self._new_name(name, node)
        parents = [] if parent is None else self._names(parent)
        if parents and not self.topology.parents:
            raise GraphError(f"node `{new}`: the first node reads the cube and has no parent.")
        self.topology.add_node(new, parents, references_of(node))
        bind(node, {reference: self._node(reference) for reference in references_of(node)})
        node.name = new
        self.nodes[new] = node
        return node

    def add_leaf_node(self, leaf: AnyLeaf, parent: NodeOrName, *, name: str | None = None) -> AnyLeaf:
        """Attach a loss, metric or picture to a node and return it.

        Raises:
            GraphError: it does not fit that node; the graph is unchanged.
        """
        if not isinstance(leaf, Leaf):
            hint = " Use `add_node` for nodes." if isinstance(leaf, Node) else ""
            raise GraphError(
                f"add_leaf_node: expected a loss, metric or picture, got {type(leaf).__name__}.{hint}"
            )
        self._check_free(leaf)
        new = self._new_name(name, leaf)
        [of] = self._names(parent)
        leaf.check_parent(self._node(of), self._execution.channels((of,)))
        if isinstance(leaf, CompositeLoss):
            self._adopt(leaf, of)
        self.topology.add_leaf(new, of)
        leaf.name = new
        self.leaves[new] = leaf
        return leaf

    def _adopt(self, composite: CompositeLoss, parent: str) -> None:
        """Check a composite's children, then attach those that are not attached yet to its parent."""
        owned = {name for one in self._attached(CompositeLoss) for name in one.leaf.child_losses}  # type: ignore[type-abstract]
        new = []
        for child in composite.child_losses:
            if isinstance(child, Loss):
                child.check_parent(self._node(parent), self._execution.channels((parent,)))
                new.append(child)
            elif child in owned:
                raise GraphError(
                    f"{composite.label}: `{child}` is combined by another leaf. Give each loss once."
                )
            elif child not in self.leaves or not isinstance(self._leaf(child), Loss):
                raise GraphError(f"{composite.label}: `{child}` is no loss of this graph.")
        for child in new:
            self.add_leaf_node(child, parent)

    def possible_parents(self, leaf: Leaf) -> list[str]:
        """Return the names of the nodes that a leaf can be attached to."""
        found = []
        for name in self.topology.order():
            try:
                leaf.check_parent(self._node(name), self._execution.channels((name,)))
            except GraphError:
                continue
            found.append(name)
        return found

    def register_monitor(self, monitor: Monitor) -> None:
        """Let a monitor receive what later runs log."""
        if not isinstance(monitor, Monitor):
            raise GraphError(
                f"register_monitor: expected an object with the methods of "
                f"`cuvis_ai.training.monitors.Monitor`, got {type(monitor).__name__}."
            )
        self.monitors.append(monitor)

    def set_parent(self, child: Node | Leaf | str, parent: NodeOrName | Sequence[NodeOrName]) -> None:
        """Let a node read another parent, or several; or attach a leaf to another node."""
        name = self._name(child)
        parents = self._names(parent)
        if name in self.leaves and len(parents) == 1:
            self._leaf(name).check_parent(self._node(parents[0]), self._execution.channels((parents[0],)))
        self.topology.set_parents(name, parents)

    def remove_node(self, node: Node | Leaf | str) -> None:
        """Remove a leaf, or a node that no other reads, with its leaves."""
        for name in self.topology.remove(self._name(node)):
            modules = self.nodes if name in self.nodes else self.leaves
            gone = modules.pop(name)
            assert isinstance(gone, Node | Leaf)
            gone.name = None

    # Training.

    def train(
        self,
        datamodule: "LightningDataModule",
        training_config: TrainingConfig | None = None,
        *,
        ckpt_path: str | Path | None = None,
    ) -> "Trainer":
        """Fit the nodes in closed form, then train them by gradients if `max_epochs` is above 0.

        Nodes that are fitted already keep their state, so a second call goes on from the first;
        after `reset` it starts from the data again.

        Args:
            datamodule: a Lightning data module whose batches are `cuvis_ai.types.Batch`.
            training_config: the settings; by default those of `TrainingConfig()`.
            ckpt_path: a checkpoint to go on from; "last" for the newest that the `ModelCheckpoint` callbacks
                wrote, or to start from the data, with a warning, where there is none yet.

        Returns:
            The Lightning trainer. Its `callback_metrics` hold the last values.

        Raises:
            GraphError: the data do not fit the graph, or there are none.
            ConfigError: a setting is impossible, a folder cannot be written to, or a checkpoint not read.
        """
        # Lightning takes seconds to import.
        from lightning.pytorch import LightningDataModule

        from cuvis_ai.training.engine import trainer

        if not self.topology.parents:
            raise GraphError(f"graph `{self.name}`: nothing to train. Add a node first.")
        if not isinstance(datamodule, LightningDataModule):
            raise GraphError(f"train: expected a LightningDataModule, got {type(datamodule).__name__}.")
        done = trainer.train(self._parts(), datamodule, training_config or TrainingConfig(), ckpt_path)
        self.bands = _bands_of(datamodule)
        return done

    def _parts(self) -> "Parts":
        from cuvis_ai.training.engine.parts import Parts

        return Parts(
            name=self.name,
            structure=self.mermaid(),
            execution=self._execution,
            nodes=self.nodes,
            leaves=self.leaves,
            losses=self._attached(Loss),  # type: ignore[type-abstract]
            composites=[one.leaf for one in self._attached(CompositeLoss)],  # type: ignore[type-abstract]
            metrics=self._attached(Metric),  # type: ignore[type-abstract]
            visualizations=self._attached(Visualization),  # type: ignore[type-abstract]
            monitors=self.monitors,
            check_data=lambda datamodule: self.bands.check(_bands_of(datamodule).wavelengths, "data module"),
        )

    def evaluate(
        self,
        datamodule: "LightningDataModule",
        split: Literal["train", "val", "test"] = "test",
        training_config: TrainingConfig | None = None,
    ) -> dict[str, float]:
        """Return losses and metrics of one split, by logged name: `test/metric/anomaly_auroc`, ….

        Args:
            datamodule: where the split is.
            split: which one.
            training_config: device and precision are taken from it.

        Raises:
            GraphError: the split has no data.
            NotFittedError: the statistical phase has not run.
        """
        from cuvis_ai.training.engine import trainer  # Lightning takes seconds to import.

        return trainer.evaluate(self._parts(), datamodule, split, training_config or TrainingConfig())

    def reset(self) -> None:
        """Reset all statistics and trained weights; the structure stays."""
        for node in self._typed_nodes().values():
            reset(node)
        for loss in self._attached(Loss):  # type: ignore[type-abstract]
            loss.leaf.reset()

    # Applying.

    def __call__(
        self,
        cube: CubeTensor,
        *,
        valid: PixelMask | None = None,
        labels: Labels | None = None,
        metadata: Mapping[str, Any] | None = None,
        wavelengths: Sequence[float] | Tensor | None = None,
        match_bands: bool = False,
    ) -> GraphOutput:
        """Return the end node's output for a batch of cubes (b, c, h, w), with labels and metadata.

        Pixels that are not `valid`, or have a non-finite band, come out as NaN; then the metadata
        hold the mask `valid` (b, h, w).

        Args:
            cube: float32, as the graph was trained on.
            valid: False at pixels without data.
            labels: handed through.
            metadata: handed through.
            wavelengths: the cube's band centres in nm; other bands than in training are refused.
            match_bands: whether to take the bands nearest to those of training instead.

        Raises:
            GraphError: the cube does not fit, or the graph has several end nodes.
            NotFittedError: the statistical phase has not run.
        """
        ends = self.topology.ends()
        if len(ends) != 1:
            listed = ", ".join(repr(end) for end in ends)
            raise GraphError(
                f"graph `{self.name}`: expected one end node, got {len(ends)}. "
                f"Say which with `graph.run(cube, outputs=[{listed}])`."
            )
        if match_bands:
            cube = self.bands.matched(cube, wavelengths)
        else:
            self.bands.check(wavelengths, "cube")
        evaluation = self._evaluate(cube, [(ends[0],)], valid)
        found = {} if evaluation.valid is None else {"valid": evaluation.valid}
        output = _with_nan(evaluation.values[(ends[0],)], evaluation.valid)
        return GraphOutput(output, labels, {**(metadata or {}), **found})

    def run(
        self, cube: CubeTensor, outputs: Iterable[NodeOrName], *, valid: PixelMask | None = None
    ) -> dict[str, CubeTensor]:
        """Return the outputs of the nodes asked for, by name; NaN at invalid pixels."""
        names = [self._name(output) for output in outputs]
        evaluation = self._evaluate(cube, [(name,) for name in names], valid)
        return {name: _with_nan(evaluation.values[(name,)], evaluation.valid) for name in names}

    def _evaluate(self, cube: CubeTensor, points: Sequence[Point], valid: PixelMask | None) -> Evaluation:
        for point in points:
            self._node(point[0])
        check_cube(cube, self.dtype)
        return self._execution.evaluate(cube, points, valid)

    # Saving.

    def save_to_file(self, path: str | Path) -> None:
        """Write structure, hyper-parameters and weights to a zip file; an old file is replaced at once."""
        archive.save(path, self._saved())

    @classmethod
    def load_from_file(cls, path: str | Path, *, allow: Sequence[str] = ()) -> Self:
        """Return the graph that `save_to_file` wrote; its outputs are bit-equal.

        Args:
            path: the file.
            allow: packages besides `cuvis_ai` whose nodes and leaves may be made.

        Raises:
            ArchiveError: the file is damaged, of a newer format, or asks for what is not allowed.
        """
        saved = archive.load(path, allow)
        graph = cls(saved.name)
        graph.bands = saved.bands
        try:
            for name, (node, parents) in saved.nodes.items():
                graph.add_node(node, list(parents) or None, name=name)
            for name, (leaf, parent) in saved.leaves.items():
                graph.add_leaf_node(leaf, parent, name=name)
            archive.check_weights(saved.weights, graph.to(saved.dtype).state_dict())
            graph.load_state_dict(saved.weights)
            check_probe(graph._execution, saved.probe)
        except (GraphError, NotFittedError, RuntimeError) as err:
            raise ArchiveError(f"{path}: the parts do not fit each other: {archive.shortened(err)}") from err
        return graph

    def _saved(self) -> archive.Saved:
        nodes = {name: (node, self.topology.parents[name]) for name, node in self._typed_nodes().items()}
        leaves = {name: (self._leaf(name), parent) for name, parent in self.topology.leaves.items()}
        return archive.Saved(
            self.name,
            self.dtype,
            nodes,
            leaves,
            self.state_dict(),
            self.bands,
            probe(self._execution),
        )

    # Like a module, without being one: `train` would hide `nn.Module.train`.

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of cubes that the nodes take."""
        return self._execution.dtype

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or convert nodes and leaves, as `nn.Module.to`."""
        self.nodes.to(*args, **kwargs)
        self.leaves.to(*args, **kwargs)
        return self

    def eval(self) -> Self:
        """Put nodes and leaves into evaluation mode, as `nn.Module.eval`."""
        self.nodes.eval()
        self.leaves.eval()
        return self

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Yield what training changes, by name."""
        yield from self.nodes.named_parameters("nodes")
        yield from self.leaves.named_parameters("leaves")

    def parameters(self) -> Iterable[nn.Parameter]:
        """Yield what training changes."""
        yield from (parameter for _, parameter in self.named_parameters())

    def state_dict(self) -> dict[str, Tensor]:
        """Return all fitted and trained state, by name."""
        of_nodes = {
            f"nodes.{name}.{key}": value
            for name, node in self._typed_nodes().items()
            for key, value in plain_state(node, node.state_shapes).items()
        }
        return {**of_nodes, **self.leaves.state_dict(prefix="leaves.")}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Take the state that `state_dict` returned."""
        constrained = [node for node in self._typed_nodes().values() if is_parametrized(node)]
        for node in constrained:
            freeze(node)
        for modules, prefix in ((self.nodes, "nodes."), (self.leaves, "leaves.")):
            part = {k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)}
            modules.load_state_dict(part)
        for node in constrained:
            node.prepare_for_train()

    # Looking at it.

    def __repr__(self) -> str:
        """Return the structure as a tree, each node with its arguments, its leaves below it."""
        return "\n".join(
            [f"Graph `{self.name}`", *structure.tree(self.topology, self._typed_nodes(), self.leaves)]
        )

    def mermaid(self) -> str:
        """Return the graph as Mermaid text, which GitHub and many editors draw."""
        return structure.mermaid(self.topology, self._typed_nodes())

    # Names and modules.

    def _typed_nodes(self) -> dict[str, Node]:
        return {name: self._node(name) for name in self.topology.order()}

    def _node(self, name: str) -> Node:
        if name not in self.nodes:
            listed = ", ".join(f"`{n}`" for n in self.nodes) or "no nodes"
            raise GraphError(f"`{name}` is no node of this graph. It has {listed}.")
        node = self.nodes[name]
        assert isinstance(node, Node)
        return node

    def _leaf(self, name: str) -> Leaf:
        leaf = self.leaves[name]
        assert isinstance(leaf, Leaf)
        return leaf

    def _name(self, module: Node | Leaf | str) -> str:
        if isinstance(module, str):
            return module
        known = {id(m): name for modules in (self.nodes, self.leaves) for name, m in modules.items()}
        if id(module) not in known:
            raise GraphError(f"{module.label} is not in this graph. Add it first.")
        return known[id(module)]

    def _names(self, parents: NodeOrName | Sequence[NodeOrName]) -> list[str]:
        many = [parents] if isinstance(parents, Node | str) else parents
        return [self._name(parent) for parent in many]

    def _new_name(self, wanted: str | None, module: Node | Leaf) -> str:
        """Return the name for a new node or leaf, checked to be free."""
        new = self.topology.new_name(wanted, type(module).__name__)
        if hasattr(self.nodes, new):  # torch keeps modules as attributes
            raise GraphError(f"name `{new}`: torch uses it for itself. Choose another `name=`.")
        return new

    def _check_free(self, module: Node | Leaf) -> None:
        if module.name is not None:
            raise GraphError(
                f"{module.label} is in a graph already. Make a new one, or remove it there first."
            )

    def _attached(self, kind: type[AnyLeaf]) -> list[Attached[AnyLeaf]]:
        typed = ((self._leaf(name), parent) for name, parent in self.topology.leaves.items())
        return [Attached(leaf, self._node(parent)) for leaf, parent in typed if isinstance(leaf, kind)]


def _bands_of(datamodule: Any) -> TrainedBands:
    """Return the bands of a data module that has been set up; foreign ones may not know any."""
    return TrainedBands.of(
        getattr(datamodule, "wavelengths", None), getattr(datamodule, "band_indices", None)
    )


def _with_nan(output: CubeTensor, valid: PixelMask | None) -> CubeTensor:
    return output if valid is None else output.masked_fill(~valid[:, None], float("nan"))
