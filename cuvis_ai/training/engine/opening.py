"""The opening of a run: its data are checked by their headers, its monitors begin, its start is recorded."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from cuvis_ai.training.engine.batches import CountedBatches, check_monitored_values
from cuvis_ai.training.engine.epoch import START
from cuvis_ai.training.engine.evaluation_epoch import EvaluationEpoch
from cuvis_ai.training.engine.facts import dataset_facts, outline_of, run_settings
from cuvis_ai.training.engine.lightning_module import GraphModule
from cuvis_ai.training.engine.pictures import Pictures
from cuvis_ai.training.engine.resumption import checked_bands
from cuvis_ai.training.engine.undisturbed import undisturbed
from cuvis_ai.training.monitors import Recorder, Run


class Opening(Callback):
    """Refuses data that do not suit the graph before a monitor moves an earlier run's files aside.

    Args:
        module: of the run; its monitors' folders are tried at once.

    Raises:
        ConfigError: a monitor's folder cannot be written to.
    """

    def __init__(self, module: GraphModule) -> None:
        self._module = module
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
        module, parts, recorder = self._module, self._module.parts, self._module.recorder
        check_monitored_values(trainer, source)
        module.run["bands"] = checked_bands(source.inner, parts, module.resumption)
        run = Run(
            name=parts.name,
            settings=run_settings(parts, module.config, source.inner),
            structure=parts.structure,
            resumed_epoch=None if module.resumption is None else module.resumption.epoch,
            resumed_step=None if module.resumption is None else module.resumption.step,
        )
        recorder.setup(run)
        self.done = True
        recorder.graph(outline_of(parts.execution, parts.leaves))
        if recorder.active:
            recorder.facts("data set", dataset_facts(source.inner))


class StatisticalStart(Callback):
    """Validates once before the first step, and logs it as `start/loss/…` and `start/metric/…`.

    The names are not those of a validation, so that early stopping and checkpoints do not see it. It draws no
    random number and changes no state: training goes as it would without.
    """

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module = cast(GraphModule, pl_module)
        with undisturbed(module):
            values = _values(trainer, module)
        if values:
            module.publish(values, START)


def _values(trainer: Trainer, module: GraphModule) -> dict[str, float]:
    """Return losses and metrics of the validation split, by logged name; none without one."""
    pictures = Pictures(module.execution, (), Recorder([]))
    epoch = EvaluationEpoch(module.parts, module.losses, pictures, module.device)
    loader = _loader(trainer)
    if loader is None:
        return {}
    with torch.no_grad(), trainer.precision_plugin.val_step_context():
        for batch in loader:
            converted = trainer.precision_plugin.convert_input(batch)
            epoch.update(*module.evaluated(converted, epoch.points()))
    return epoch.compute(START, fit=False)


def _loader(trainer: Trainer) -> Iterable[Any] | None:
    """Return this rank's validation batches; None where no rank has any."""
    if trainer.val_dataloaders is None:  # none before the first validation where not every epoch has one
        trainer.validating = True
        trainer.fit_loop.epoch_loop.val_loop.setup_data()
        trainer.training = True
    loader: Iterable[Any] | None = trainer.val_dataloaders
    return loader if sum(trainer.num_val_batches) else None
