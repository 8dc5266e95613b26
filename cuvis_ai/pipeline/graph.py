"""The graph that users hold: build it, train it, apply it, save it.

A facade: names and order are those of `execution.topology`; `execution` computes, `training.engine`
trains, `pipeline.saving` writes files.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import torch
from torch import Tensor

from cuvis_ai.data.opened_cube import is_cube_source
from cuvis_ai.errors import GraphError
from cuvis_ai.leaf import Leaf
from cuvis_ai.leaf.reading import Evaluation
from cuvis_ai.node.base import Node
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.evaluation.score_sources import with_normal_quantile
from cuvis_ai.pipeline.graph_input import GraphInput, InputGate, PixelFlags
from cuvis_ai.pipeline.graph_members import AnyLeaf, AnyNode, NodeOrName
from cuvis_ai.pipeline.graph_on_data import GraphOnData
from cuvis_ai.pipeline.needed_part import needed_part
from cuvis_ai.pipeline.prediction.graph_prediction import PredictionArguments, predict, settings_of
from cuvis_ai.pipeline.prediction.scene_outputs import ScenePrediction
from cuvis_ai.pipeline.saving import graph_file
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.training.config import TrainingConfig
from cuvis_ai.training.monitors import Monitor
from cuvis_ai.types import Batch, CubeTensor, GraphOutput, Labels, Point

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule, Trainer
    from numpy.typing import NDArray
    from xarray import DataArray

    from cuvis_ai.data.cube import Cube


class Graph(GraphOnData):
    """Nodes that map cubes to cubes, and the losses, metrics and pictures attached to them.

    Args:
        name: a readable name, used by monitors and in the saved file; a number is taken as text.

    Example:
        >>> import torch
        >>> from cuvis_ai.normalization.normalization import MinMaxNormalizer
        >>> graph = Graph("brightness")
        >>> node = graph.add_node(MinMaxNormalizer(use_running_stats=False))
        >>> graph(torch.rand(1, 61, 8, 8)).output.shape
        torch.Size([1, 61, 8, 8])
    """

    def __init__(self, name: str | int = "graph") -> None:
        super().__init__()
        self.name = str(name)

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
                this order. The first node has none: it reads the cube, as do further ones with the parent
                `cuvis_ai.types.CUBE`.
            name: its name in logs, weights and files; by default its class in snake case.

        Raises:
            GraphError: the node does not fit; the graph is unchanged.
        """
        return self._members.add_node(node, parent, name)

    def add_leaf_node(self, leaf: AnyLeaf, parent: NodeOrName, *, name: str | None = None) -> AnyLeaf:
        """Attach a loss, metric or picture to a node and return it.

        Raises:
            GraphError: it does not fit that node; the graph is unchanged.
        """
        return self._members.add_leaf(leaf, parent, name)

    def possible_parents(self, leaf: Leaf) -> list[str]:
        """Return the names of the nodes that a leaf can be attached to."""
        return self._members.possible_parents(leaf)

    def register_monitor(self, monitor: Monitor) -> None:
        """Let a monitor receive what later runs log."""
        self._members.add_monitor(monitor)

    def set_parent(self, child: Node | Leaf | str, parent: NodeOrName | Sequence[NodeOrName]) -> None:
        """Let a node read another parent, or several; or attach a leaf to another node."""
        self._members.set_parent(child, parent)

    def remove_node(self, node: Node | Leaf | str) -> None:
        """Remove a leaf, or a node that no other reads, with its leaves."""
        self._members.remove(node)

    # Training.

    def train(
        self,
        datamodule: "LightningDataModule",
        training_config: TrainingConfig | None = None,
        *,
        ckpt_path: StrPath | None = None,
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
        if not self.topology.parents:
            raise GraphError(f"graph `{self.name}`: nothing to train. Add a node first.")
        self._engine().require_data_module("train", datamodule)
        for monitor in (config := TrainingConfig.of(training_config)).monitor_plugins:
            self.register_monitor(monitor)
        done: Trainer = self._engine().train(self._parts(), datamodule, config, ckpt_path)
        self.bands = TrainedBands.of_data(datamodule)
        return done

    def evaluate(
        self,
        source: "LightningDataModule | GraphInput",
        split: Literal["train", "val", "test"] = "test",
        training_config: TrainingConfig | None = None,
        *,
        mask: PixelFlags | StrPath | None = None,
        valid: PixelFlags | None = None,
        wavelengths: Sequence[float] | Tensor | None = None,
        match_bands: bool = False,
    ) -> dict[str, float]:
        """Return losses and metrics of one split, by logged name: `test/metric/anomaly_auroc`, ….

        Args:
            source: a data module that has the split; or what `graph(…)` takes, which is the whole split.
            split: which one.
            training_config: device and precision are taken from it.
            mask: for a source without masks: True at anomalies, or the file of a mask.
            valid: as in `graph(…)`.
            wavelengths: likewise.
            match_bands: likewise.

        Raises:
            GraphError: the split has no data, or the source does not fit.
            NotFittedError: the statistical phase has not run.
        """
        from lightning.pytorch import LightningDataModule  # it takes seconds to import

        if not isinstance(source, LightningDataModule):
            source = self._gate(wavelengths, match_bands).batch(source, valid=valid, mask=mask)
        elif mask is not None or valid is not None or wavelengths is not None or match_bands:
            raise GraphError(
                "evaluate: expected a data module alone, which brings masks, `valid` and wavelengths, got "
                "such arguments beside it. Give them to the data module."
            )
        values: dict[str, float] = self._engine().evaluate(
            self._parts(), source, split, TrainingConfig.of(training_config)
        )
        return values

    # Applying.

    def __call__(
        self,
        cube: GraphInput,
        *,
        valid: PixelFlags | None = None,
        labels: Labels | None = None,
        metadata: Mapping[str, Any] | None = None,
        wavelengths: Sequence[float] | Tensor | None = None,
        match_bands: bool = False,
    ) -> GraphOutput:
        """Return the end node's output for a batch of cubes (b, c, h, w), with labels and metadata.

        Pixels that are not `valid`, or have a non-finite band, come out as NaN; then the metadata
        hold the mask `valid` (b, h, w).

        Args:
            cube: a float32 tensor (b, c, h, w) as the graph was trained on, or a batch with such a one. Or
                one cube as a path, a `Cube`, a NumPy array (h, w, c) or an xarray DataArray, of which the
                bands of training are read as by the data modules; `read_batch` has options for more.
            valid: False at pixels without data.
            labels: handed through.
            metadata: handed through.
            wavelengths: the cube's band centres in nm; other bands than in training are refused.
            match_bands: whether to take the bands nearest to those of training instead.

        Raises:
            GraphError: the cube does not fit or lacks a band's data, or the graph has several end nodes.
            NotFittedError: the statistical phase has not run.
        """
        end = self.topology.end()
        gate = self._gate(wavelengths, match_bands, end_alone=is_cube_source(cube))
        batch, evaluation = self._evaluate(cube, [(end,)], valid, gate)
        found = {} if evaluation.valid is None else {"valid": evaluation.valid}
        labels = batch.get("labels") if labels is None else labels
        return GraphOutput(evaluation.masked((end,)), labels, {**(metadata or {}), **found})

    def run(
        self,
        cube: GraphInput,
        outputs: Iterable[NodeOrName],
        *,
        valid: PixelFlags | None = None,
        wavelengths: Sequence[float] | Tensor | None = None,
        match_bands: bool = False,
    ) -> dict[str, CubeTensor]:
        """Return the outputs of the nodes asked for, by name; the arguments are as in `graph(…)`."""
        points = [(self._members.name_of(output),) for output in outputs]
        _, evaluation = self._evaluate(cube, points, valid, self._gate(wavelengths, match_bands))
        return {point[0]: evaluation.masked(point) for point in points}

    def predict(
        self,
        source: "StrPath | Cube | NDArray[Any] | DataArray | Sequence[StrPath]",
        out: StrPath | None = None,
        **options: Unpack[PredictionArguments],
    ) -> list[ScenePrediction]:
        """Return the score maps of scenes of any size, and write them to a folder if one is given.

        Args:
            source: scene files, folders, patterns such as "flight/*.hdr", lists in text files; or one cube in
                memory, as an array, DataArray or `Cube`.
            out: the folder, for scenes in files; None holds the maps in memory.
            options: those of `PredictionSettings`, such as `refit`, and of `read_batch`.

        Raises:
            DatasetNotFoundError: a name names nothing.
            GraphError: scenes that do not fit or cannot be read; the others are done.
            FileExistsError: the folder has maps of these scenes; see `overwrite` and `resume`.

        Example:
            >>> graph = Graph.load_from_file("detector.zip")
            >>> [found] = graph.predict("scene.hdr", out="maps", detections=True)
            >>> found.scores.shape
            (40, 30, 1)
        """
        settings = with_normal_quantile(self._members, self.bands, source, settings_of(options))
        refit = self._engine("refit").refitted if settings.refit else None
        return predict(self._members, self.name, self.bands, source, out, settings, refit)

    def _gate(
        self, wavelengths: Sequence[float] | Tensor | None, match_bands: bool, *, end_alone: bool = False
    ) -> InputGate:
        execution, bands = self._members.execution, self.bands
        if end_alone and not (torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())):
            execution, bands = needed_part(execution, bands)  # a copy, which hands no gradients on
        return InputGate(bands=bands, execution=execution, wavelengths=wavelengths, match_bands=match_bands)

    def _evaluate(
        self, cube: GraphInput, points: Sequence[Point], valid: PixelFlags | None, gate: InputGate
    ) -> tuple[Batch, Evaluation]:
        for point in points:
            self._members.node(point[0])
        batch = gate.batch(cube, valid=valid)
        return batch, gate.execution.evaluate(batch["cube"], points, batch.get("valid"))

    def save_to_file(self, path: StrPath) -> None:
        """Write structure, hyper-parameters and weights to a zip file; an old file is replaced at once."""
        graph_file.save(path, self.name, self.bands, self._members)

    @classmethod
    def load_from_file(cls, path: StrPath, *, allow: Sequence[str] = ()) -> Self:
        """Return the graph that `save_to_file` wrote; its outputs are bit-equal.

        Args:
            path: the file.
            allow: packages besides `cuvis_ai` whose nodes and leaves may be made.

        Raises:
            ArchiveError: the file is damaged, of a newer format, or asks for what is not allowed.
        """
        graph = cls()
        graph.name, graph.bands = graph_file.load(path, allow, into=graph._members)
        return graph
