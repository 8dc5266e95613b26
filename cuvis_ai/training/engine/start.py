"""The record of the statistical start: one validation before the first step."""

from collections.abc import Iterable
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from cuvis_ai.training.engine.epoch import START
from cuvis_ai.training.engine.evaluation_epoch import EvaluationEpoch
from cuvis_ai.training.engine.lightning_module import GraphModule
from cuvis_ai.training.engine.pictures import Pictures
from cuvis_ai.training.engine.undisturbed import undisturbed
from cuvis_ai.training.monitors import Recorder


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
