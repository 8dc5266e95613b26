"""What a graph does with whole data sets besides training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

from cuvis_ai.pipeline.evaluation.scene_evaluation import SceneEvaluation
from cuvis_ai.pipeline.evaluation.score_sources import EvaluationArguments, evaluate_graph, options_of
from cuvis_ai.pipeline.module_like import ModuleLike
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.training.engine.parts import Parts


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

    def _parts(self) -> Parts:
        return self._members.parts(
            name=self.name,
            withheld=self.withheld,
            check_data=self.bands.check_data,
        )
