"""What a graph does with whole data sets besides training."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from cuvis_ai.html_table import facts_table
from cuvis_ai.node.base import require_fitted
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.evaluation.scene_evaluation import SceneEvaluation
from cuvis_ai.pipeline.evaluation.score_sources import EvaluationArguments, evaluate_graph, options_of
from cuvis_ai.pipeline.export.onnx_export import export
from cuvis_ai.pipeline.graph_facts import graph_facts
from cuvis_ai.pipeline.graph_members import NodeOrName
from cuvis_ai.pipeline.module_like import ModuleLike
from cuvis_ai.pipeline.prediction.scene_outputs import digest
from cuvis_ai.pipeline.saving.sketch_file import read_sketches, write_sketches
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.training.engine.parts import Parts
from cuvis_ai.training.engine.threshold_fit import fit_threshold
from cuvis_ai.training.threshold import Rule, Threshold

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule


class GraphOnData(ModuleLike):
    """Nodes and leaves with the methods that take data sets as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.bands = TrainedBands()
        self.withheld: Mapping[str, str] = {}  # texts that monitors are not given, and what they get instead

    def facts(self) -> list[tuple[str, str]]:
        """Return the bands, thresholds, arguments and the nodes' facts of their fit, by name, in words.

        Example:
            >>> from cuvis_ai.pipeline.graph import Graph
            >>> dict(Graph.load_from_file("detector.zip").facts())["context"]
            '16 pixels around each'
        """
        return list(graph_facts(self._members, self.bands))

    def _repr_html_(self) -> str:
        """Return the structure and the facts as a table, for notebooks."""
        tree = repr(self).partition("\n")[2]  # with the arguments
        facts = [(name, fact) for name, fact in self.facts() if not name.startswith("arguments of")]
        return facts_table(f"Graph {self.name}", facts, before=tree)

    def evaluate_scenes(
        self, source: StrPath | Sequence[StrPath], **options: Unpack[EvaluationArguments]
    ) -> SceneEvaluation:
        """Return what the graph's scores of scenes are worth: pooled, of each scene, with intervals.

        Scenes may be larger than memory; `evaluate_maps` of `cuvis_ai.pipeline.evaluation.score_sources` does
        the same for maps that were written before.

        Args:
            source: scene files, folders, patterns such as "flight/*.hdr", lists in text files.
            options: `mask`, one scene's file; `masks`, a folder of files that are called as the scenes are,
                where they do not lie beside these as `<scene>_mask.*`; `mask_key`, the mask's array;
                `anomaly_labels` and `ignore_labels`, values of masks; `threshold`, instead of the stored;
                `false_alarm_rates`, shares of the normal pixels to measure at; `match_bands`; and the options
                of `read_batch`.

        Raises:
            DatasetNotFoundError: a scene is not there, or none has a mask.
            GraphError: a scene does not fit the graph.
            CubeFormatError: a scene or a mask cannot be read.

        Example:
            >>> from cuvis_ai.pipeline.graph import Graph
            >>> graph = Graph.load_from_file("detector.zip")
            >>> found = graph.evaluate_scenes("scene.hdr", mask="mask.npy")
            >>> found.pooled.values["auroc"]
            1.0
        """
        return evaluate_graph(self._members, self.bands, source, options_of(options))

    def export_onnx(
        self,
        path: StrPath,
        *,
        input: Literal["float32", "uint16", "int16"] = "float32",
        layout: Literal["nchw", "nhwc"] = "nchw",
        outputs: Sequence[NodeOrName] | None = None,
        no_data: float | None = None,
    ) -> None:
        """Write the fitted graph as an ONNX model, of free batch, height and width.

        What ONNX Runtime makes of the stored probe and of a small scene has to be what the graph makes of
        them. `cuvis-ai predict` takes the file in place of a zip. See docs/export.md.

        Args:
            path: the file; an old one is replaced at once.
            input: the number type of the cube that enters, as the camera gives it.
            layout: of cube and outputs: "nchw" (b, c, h, w), or "nhwc" (b, h, w, c), as files have them.
            outputs: nodes, and "<node>_detected" for the mask of the scores above the stored threshold; None
                takes the end nodes, with their masks where there is a threshold.
            no_data: value that stands for no data in any band (0: in all of them). Such pixels become NaN, as
                do those with a value that is not finite.

        Raises:
            NotFittedError: the statistical phase has not run.
            GraphError: a node, which is named, cannot be exported, or the model computes otherwise than the
                graph; no file was written.
            ConfigError: an argument is impossible.
            MissingExtraError: the extra `export` is not installed.

        Example:
            >>> from cuvis_ai.pipeline.graph import Graph
            >>> graph = Graph.load_from_file("detector.zip")
            >>> graph.export_onnx("model.onnx", input="uint16", layout="nhwc", no_data=0)
            >>> Path("model.onnx").is_file()
            True
        """
        names = None if outputs is None else self._members.names_of(outputs)
        export(
            self._members, self.name, self.bands, path,
            input=input, layout=layout, outputs=names, no_data=no_data,
        )  # fmt: skip

    def fit_threshold(
        self,
        datamodule: "LightningDataModule",
        rule: Rule = "mean_std",
        parameter: float | None = None,
        *,
        split: Literal["train", "val", "test"] = "val",
    ) -> Threshold:
        """Set the threshold of the graph's end node by a rule on the scores of a split, and return it.

        A `Threshold` that is attached there is replaced; `threshold.value` is the number.

        Args:
            datamodule: has the split; its masks are needed for `f1_max` and `false_alarm_rate`.
            rule: as in `Threshold`.
            parameter: likewise.
            split: which scores are looked at; those of the test split should not choose their own threshold.

        Raises:
            ConfigError: the rule or its parameter is impossible.
            GraphError: the split has no data, or no masks where the rule needs them; the graph is unchanged.
            NotFittedError: the statistical phase has not run.

        Example:
            >>> from cuvis_ai.data.scene_tiles import SceneTiles
            >>> from cuvis_ai.pipeline.graph import Graph
            >>> graph = Graph.load_from_file("detector.zip")
            >>> tiles = SceneTiles("scene.hdr", mask="mask.npy", tile=10)
            >>> threshold = graph.fit_threshold(tiles, "false_alarm_rate", 0.01)
            >>> graph.leaves["threshold"] is threshold
            True
        """
        end = self.topology.end()
        threshold = Threshold(rule, parameter)
        threshold.check_parent(self._members.node(end), self._members.execution.channels((end,)))
        for node in self._members.in_order().values():
            require_fitted(node)
        parts = self._parts()
        fit_threshold(
            parts, threshold, self._members.node(end), self._engine().split_loader(parts, datamodule, split)
        )
        earlier = [one.leaf.name or "" for one in self._members.attached(Threshold) if one.parent.name == end]
        for name in earlier:
            self._members.remove(name)
        self._members.add_leaf(threshold, end, next(iter(earlier), None))
        return threshold

    def sketch(
        self, datamodule: "LightningDataModule", out: StrPath, shard: tuple[int, int] = (1, 1)
    ) -> Path:
        """Write the statistics that the next pass needs of a share of the training data, and return the file.

        Shares may be taken by any number of processes or machines; `fit_from` merges their files.

        Args:
            datamodule: has the training data, the same for all shares.
            out: the file, safetensors.
            shard: (i, n): the i-th of n shares, counted from 1.

        Raises:
            ConfigError: a shard that is none.
            GraphError: nothing is left to fit, or a node is not fitted from sketches in one pass.

        Example:
            >>> from cuvis_ai.data.cube_folder import CubeFolder
            >>> from cuvis_ai.normalization.normalization import MinMaxNormalizer
            >>> from cuvis_ai.pipeline.graph import Graph
            >>> graph = Graph("shares")
            >>> node = graph.add_node(MinMaxNormalizer())
            >>> graph.sketch(CubeFolder("Lentils"), "part2.safetensors", shard=(2, 3)).name
            'part2.safetensors'
        """
        taken = self._engine("shards").take_sketches(self._parts(), datamodule, shard)
        bands = TrainedBands.of_data(datamodule)
        return write_sketches(Path(out), taken, shard, self._identity(), bands)

    def fit_from(self, files: Sequence[StrPath]) -> list[str]:
        """Fit nodes from the files of all shares, and return the names of nodes that another pass has to fit.

        Args:
            files: those that `sketch` wrote of this graph, one for each share, in any order.

        Raises:
            ArchiveError: a file is damaged.
            GraphError: shares are missing, or of another graph or bands; the graph is unchanged.

        Example:
            >>> from cuvis_ai.data.cube_folder import CubeFolder
            >>> from cuvis_ai.normalization.normalization import MinMaxNormalizer
            >>> from cuvis_ai.pipeline.graph import Graph
            >>> graph, cubes = Graph("shares"), CubeFolder("Lentils")
            >>> node = graph.add_node(MinMaxNormalizer())
            >>> files = [graph.sketch(cubes, f"part{i}.safetensors", shard=(i, 2)) for i in (1, 2)]
            >>> graph.fit_from(files), node.fitted  # no other pass is needed
            ([], True)
        """
        records, bands = read_sketches([Path(file) for file in files], self._identity())
        self._engine("shards").fit_from_sketches(self._members.execution, records)
        self.bands = bands
        return [name for name, node in self._members.in_order().items() if not node.fitted]

    def _identity(self) -> str:
        """A checksum of structure, arguments and state."""
        state = {
            key: value.detach().cpu().contiguous().numpy().tobytes()
            for key, value in self.state_dict().items()
        }
        return digest({**state, "structure": repr(self).encode()})

    @staticmethod
    def _engine(module: str = "trainer") -> Any:
        """Return a module of the engine: with it comes Lightning, which takes seconds to import."""
        return import_module(f"cuvis_ai.training.engine.{module}")

    def _parts(self) -> Parts:
        return self._members.parts(
            name=self.name,
            withheld=self.withheld,
            check_data=self.bands.check_data,
        )
