"""What a graph does with whole data sets besides training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from cuvis_ai.node.base import require_fitted
from cuvis_ai.pipeline.evaluation.scene_evaluation import SceneEvaluation
from cuvis_ai.pipeline.evaluation.score_sources import EvaluationArguments, evaluate_graph, options_of
from cuvis_ai.pipeline.module_like import ModuleLike
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
        self.monitors = self._members.monitors
        self.bands = TrainedBands()
        self.withheld: Mapping[str, str] = {}  # texts that monitors are not given, and what they get instead

    def evaluate_scenes(
        self, source: str | Path | Sequence[str | Path], **options: Unpack[EvaluationArguments]
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
            >>> found = graph.evaluate_scenes("flight/*.hdr", masks="truth")  # doctest: +SKIP
            >>> found.pooled.values["auroc"], found.pooled.values["stored/f1"]  # doctest: +SKIP
        """
        return evaluate_graph(self._members, self.bands, source, options_of(options))

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
            >>> graph.fit_threshold(data, "false_alarm_rate", 1e-3).value  # doctest: +SKIP
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
        name = None
        for leaf, parent in list(self.topology.leaves.items()):
            if parent == end and isinstance(self._members.leaf(leaf), Threshold):
                name = leaf if name is None else name
                self._members.remove(leaf)
        self._members.add_leaf(threshold, end, name)
        return threshold

    @staticmethod
    def _engine() -> Any:
        """The module `trainer`: with it comes Lightning, which takes seconds to import."""
        from cuvis_ai.training.engine import trainer

        return trainer

    def _parts(self) -> Parts:
        return self._members.parts(
            name=self.name,
            withheld=self.withheld,
            check_data=self.bands.check_data,
        )
