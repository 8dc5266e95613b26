"""The graph as a Lightning module: which hook does what in the two phases.

Lightning's order on `fit` is: data module's `setup`, this module's `setup`, a checkpoint's state if
there is one, `configure_optimizers`, training. The statistical phase therefore runs in `setup`: the
device and the ranks are known, and the parameters it makes reach the optimizer.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from cuvis_ai.execution.batch_gate import checked_batch
from cuvis_ai.leaf.reading import Evaluation
from cuvis_ai.training.config import TrainingConfig
from cuvis_ai.training.engine.annealing import Annealing
from cuvis_ai.training.engine.batches import CountedBatches, statistics_batches
from cuvis_ai.training.engine.epoch import Losses, logged, n_valid
from cuvis_ai.training.engine.evaluation_epoch import EvaluationEpoch
from cuvis_ai.training.engine.facts import weights_and_gradients
from cuvis_ai.training.engine.finite_gradients import FiniteGradients
from cuvis_ai.training.engine.learning_rate import LearningRate
from cuvis_ai.training.engine.loss_means import LossMeans
from cuvis_ai.training.engine.optimizers import optimizer_of, prepare_nodes
from cuvis_ai.training.engine.parts import Parts
from cuvis_ai.training.engine.pictures import Pictures
from cuvis_ai.training.engine.resumption import Resumption
from cuvis_ai.training.engine.same_run import description, loading_of
from cuvis_ai.training.engine.signals import Signals
from cuvis_ai.training.engine.statistics import fit_statistics
from cuvis_ai.training.engine.undisturbed import random_state, restore_random_state
from cuvis_ai.training.engine.verdict import Verdict
from cuvis_ai.training.monitors import Recorder
from cuvis_ai.training.monitors.records import numbered, readable
from cuvis_ai.types import Point

logger = logging.getLogger(__name__)


class GraphModule(LightningModule):
    """Fits and trains the nodes of one graph.

    Args:
        parts: the graph.
        losses: its losses.
        pictures: what is drawn of validation epochs.
        recorder: where values go.
        config: the settings.
        evaluated_split: what a test run logs as its stage.
        resumption: the checkpoint that the run goes on from; None if it starts.
    """

    _epoch: EvaluationEpoch

    def __init__(
        self,
        parts: Parts,
        losses: Losses,
        pictures: Pictures,
        recorder: Recorder,
        config: TrainingConfig,
        *,
        evaluated_split: str = "test",
        resumption: Resumption | None = None,
    ) -> None:
        super().__init__()
        self.nodes = parts.nodes  # their state, and the leaves', is what a checkpoint holds
        self.leaves = parts.leaves
        self.parts = parts
        self.execution = parts.execution
        self.losses = losses
        self.pictures = pictures
        self.recorder = recorder
        self.config = config
        self.signals = Signals()
        self.evaluated_split = evaluated_split
        self.verdict = Verdict(parts.execution, losses)
        self.annealing = Annealing(parts.execution, recorder)
        self.run = description(parts, config)
        self.resumption = resumption
        self.best: tuple[float, int] | None = None
        self.validated_step = 0
        self._rate: LearningRate | None = None
        self._scheduler_state: dict[str, Any] | None = None
        self._train_means = LossMeans(losses, torch.device("cpu"))
        self._learning_rate = config.optimizer.lr

    def configure_callbacks(self) -> list[Callback]:
        """Return what watches for signals, anneals choices of bands, and looks at gradients."""
        if self.trainer.state.fn == TrainerFn.FITTING and self.trainer.is_global_zero:
            self.annealing.announce(self.trainer.max_epochs or 0)
        return [self.signals, self.annealing, FiniteGradients()]

    # The two phases.

    def setup(self, stage: str) -> None:
        """Run the statistical phase, then turn the fitted state of trainable nodes into parameters.

        Without epochs to train, the statistical phase is all that runs.
        """
        if stage != "fit":
            return
        source = cast(CountedBatches, self.trainer.datamodule)  # type: ignore[attr-defined]  # set by a connector
        device = self.trainer.strategy.root_device
        self.nodes.to(device)
        self.leaves.to(device)
        fit_statistics(
            self.execution, self.losses.unfitted(),
            lambda context: statistics_batches(self.trainer, source.inner, context), device,
            show_progress=self.config.trainer.enable_progress_bar and self.trainer.is_global_zero,
        )  # fmt: skip
        if self.trainer.max_epochs:
            prepare_nodes(self.execution, self.losses.reached())
        elif isinstance(self.trainer.strategy, ParallelStrategy):
            # DistributedDataParallel refuses a module without gradients, and wraps it before zero epochs too.
            self.placeholder = nn.Parameter(torch.zeros((), device=device))

    def configure_optimizers(self) -> Optimizer | None:
        """Return the optimizer of everything that requires a gradient."""
        named = self.named_parameters() if self.trainer.max_epochs else ()
        optimizer = optimizer_of(self.config.optimizer, named)
        if optimizer is not None:
            self._rate = LearningRate(
                optimizer, self.config.scheduler, lr=self.config.optimizer.lr,
                max_epochs=self.trainer.max_epochs or 0, held=self._scheduler_state,
            )  # fmt: skip
        return optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what resuming needs besides weights."""
        checkpoint["cuvis_ai"] = {
            "scheduler": None if self._rate is None else self._rate.state(),
            "best": self.best,
            "sums": self._train_means.sums,
            "random": random_state(),
            "stopped": self.trainer.should_stop and self.trainer.early_stopping_callback is not None,
            "run": {**self.run, "loading": loading_of(self.trainer.train_dataloader)},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them back; the scheduler is made later."""
        state = checkpoint["cuvis_ai"]
        self._scheduler_state, self.best = state["scheduler"], state["best"] and tuple(state["best"])
        self._train_means = LossMeans(self.losses, self.device, state["sums"])
        restore_random_state(state["random"])
        self.trainer.should_stop = state["stopped"]  # else EarlyStopping lets another epoch pass
        if self.resumption is not None:
            self.resumption.take_up(checkpoint, self)

    # Steps.

    def on_train_start(self) -> None:
        """Spare ranks the exchange of buffers before each step, if they hold nothing but what was fitted."""
        nodes = self.execution.nodes.values()
        fitted = {id(getattr(node, state)) for node in nodes for state in node.state_shapes}
        wrapped = self.trainer.model
        if isinstance(wrapped, DistributedDataParallel) and fitted.issuperset(map(id, self.buffers())):
            wrapped.broadcast_buffers = False

    def on_train_epoch_start(self) -> None:
        """Start the means of the epoch, and set its learning rate."""
        self._train_means = LossMeans(self.losses, self.device)
        if self._rate is not None:
            self._rate.start_epoch(self.current_epoch)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the total loss of a batch; reads no cube if no loss needs one."""
        # Noted before the step, since the scheduler sets the next epoch's before this one is logged.
        self._learning_rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        points = self.losses.points() if self.losses.read_data else ()
        evaluation, batch = self.evaluated(self.verdict.counted(batch), points)
        values, _ = found = self.losses(evaluation, batch)
        # In every step: from one to the next, NaN would reach the weights, and whatever follows them.
        self.losses.raise_if_not_finite(
            values, f"epoch {numbered(self.current_epoch)}, step {self.global_step + 1}"
        )
        n = n_valid(evaluation)
        self._train_means.update(found, n)
        if (self.global_step + 1) % self.config.trainer.log_every_n_steps == 0:
            self._log_step({**values, "total": self.losses.total(values)})
        return self.losses.total(self.losses.shared(values, n))

    def _log_step(self, values: Mapping[str, Tensor]) -> None:
        fetched = torch.stack([value.detach().float() for value in values.values()]).tolist()
        named = {
            logged("train", "loss", f"{name}_step"): value
            for name, value in zip(values, fetched, strict=True)
        }
        self.log("loss", self.running_loss(), prog_bar=True, logger=False)
        self.recorder.scalars(
            named, "train", epoch=self.current_epoch, global_step=self.global_step + 1, per_step=True
        )

    def running_loss(self) -> float:
        """Return the mean of the total loss over the epoch so far, of this rank."""
        return self._train_means.running_total()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Record weights and gradients at the end of an epoch; the validation after it drops the latter."""
        if not self.trainer.is_last_batch:
            self.signals.after_step()
        elif self.recorder.active:
            tensors = weights_and_gradients(self.nodes.named_parameters())
            self.recorder.histograms(tensors, epoch=self.current_epoch, global_step=self.global_step)

    def on_train_epoch_end(self) -> None:
        """Log the training losses of the epoch, and the learning rate of its last step."""
        values = self._train_means.compute("train")
        if not self.has_validation:
            self._finish_epoch_loss(values.get(logged("train", "loss", "total")))
        values[logged("train", "metric", "learning_rate")] = self._learning_rate
        self.publish(values, "train")
        self.signals.after_step()

    def on_train_end(self) -> None:
        """Leave nodes that derive their statistics with those of the trained weights."""
        self.execution.refresh_followers()
        self.pictures.close()

    def on_validation_epoch_start(self) -> None:
        """Start the losses, metrics and pictures of the epoch; a sanity check draws nothing."""
        self.on_test_epoch_start()
        if not self.trainer.sanity_checking:
            fitting = self.trainer.state.fn == TrainerFn.FITTING
            following = self.current_epoch + self.config.trainer.check_val_every_n_epoch
            last = not fitting or following >= (self.trainer.max_epochs or 0)
            self.pictures.start(self._epoch.observer, last=last)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Take in a batch."""
        self._epoch.update(*self.evaluated(batch, self._epoch.points()))

    def on_validation_epoch_end(self) -> None:
        """Log losses and metrics, and step the scheduler; not for the sanity check."""
        if self.trainer.sanity_checking:
            return
        values = self._epoch.compute("val", fit=True)
        self.publish(values, "val")
        self.pictures.finish(
            self._epoch.observer, "val", epoch=self.current_epoch, global_step=self.global_step
        )
        total = values.get(logged("val", "loss", "total"))
        if total is not None:
            self.log("val_loss", total)  # the tutorial's checkpoint file name asks for it under this name
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.validated_step = self.global_step
            self._finish_epoch_loss(total)

    def on_test_epoch_start(self) -> None:
        """Start the epoch's losses and metrics."""
        self._epoch = EvaluationEpoch(self.parts, self.losses, self.pictures, self.device)

    test_step = validation_step

    def on_test_epoch_end(self) -> None:
        """Log losses and metrics."""
        self.publish(self._epoch.compute(self.evaluated_split, fit=False), self.evaluated_split)

    @property
    def has_validation(self) -> bool:
        """Whether the data module has validation batches."""
        return sum(self.trainer.num_val_batches) > 0

    def evaluated(self, batch: Any, points: Iterable[Point]) -> tuple[Evaluation | None, Mapping[str, Any]]:
        """Evaluate a batch at `points`; a batch that is a bare number stands for one that is not read."""
        if not isinstance(batch, Mapping) and isinstance(batch, int | Tensor):
            return None, {}
        batch = checked_batch(batch, self.device, self.execution.dtype)
        evaluation = self.execution.evaluate(batch["cube"], points, batch.get("valid"), batch.get("core"))
        return evaluation, batch

    def _finish_epoch_loss(self, total: float | None) -> None:
        """Step the scheduler on the total that is watched, and remember the best."""
        if total is None or self.annealing.holds_back(self.config.trainer.max_epochs):
            return
        if self.best is None or total < self.best[0]:
            self.best = (total, self.current_epoch)
        if self._rate is not None:
            self._rate.after_loss(total, self.current_epoch)

    def publish(self, values: Mapping[str, float], stage: str) -> None:
        """Give values to Lightning's callbacks, to the monitors and to the console."""
        self.log_dict(dict(values))
        self.recorder.scalars(
            values, stage, epoch=self.current_epoch, global_step=self.global_step, per_step=False
        )
        for name, value in values.items():
            logger.info("  %s: %s", name, readable(name, value, digits=4))
