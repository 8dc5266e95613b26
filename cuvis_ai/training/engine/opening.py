"""The opening of a run: its data are checked as far as their headers say, then its monitors begin."""

from collections.abc import Callable
from typing import cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from cuvis_ai.training.engine.batches import CountedBatches, check_monitored_values
from cuvis_ai.training.engine.facts import dataset_facts, outline_of
from cuvis_ai.training.engine.lightning_module import GraphModule
from cuvis_ai.training.engine.resumption import checked_bands
from cuvis_ai.training.monitors import Run


class Opening(Callback):
    """Refuses data that do not suit the graph before a monitor moves an earlier run's files aside.

    Args:
        module: of the run; its monitors' folders are tried at once.
        run: returns what monitors are told of it.

    Raises:
        ConfigError: a monitor's folder cannot be written to.
    """

    def __init__(self, module: GraphModule, run: Callable[[], Run]) -> None:
        self._module = module
        self._run = run
        self.done = False
        """Whether the monitors have begun."""
        module.recorder.try_folders()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check and begin: after the data module's `setup`, before the statistical phase.

        Raises:
            ConfigError: a callback watches what is not logged, a monitor cannot do what its settings ask for,
                or the data are others than those of the run that goes on.
            GraphError: the data's bands are others than those that the graph was trained on.
        """
        if stage != "fit":
            return
        source = cast(CountedBatches, trainer.datamodule)  # type: ignore[attr-defined]  # set by a connector
        parts, recorder = self._module.parts, self._module.recorder
        check_monitored_values(trainer, source)
        self._module.run["bands"] = checked_bands(source.inner, parts, self._module.resumption)
        recorder.setup(self._run())
        self.done = True
        recorder.graph(outline_of(parts.execution, parts.leaves))
        if recorder.active:
            recorder.facts("data set", dataset_facts(source.inner))
