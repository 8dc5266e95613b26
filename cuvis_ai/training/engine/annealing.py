"""The annealing of choices of bands, epoch by epoch, and what follows from it for the rest of a run."""

import logging
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override

from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import AffineNode, FittedNode, Selection, follower, has_pointwise
from cuvis_ai.stats import Structure
from cuvis_ai.training.engine.epoch import logged
from cuvis_ai.training.engine.rederivation import derive_downstream, downstream
from cuvis_ai.training.monitors import Recorder
from cuvis_ai.types import CUBE

logger = logging.getLogger(__name__)

F1 = logged("val", "metric", "anomaly_f1")


class Annealing(Callback):
    """Sets the temperature at the start of each epoch, and hardens choices that have reached the least one.

    Args:
        execution: the graph's nodes.
        recorder: where values go.
    """

    def __init__(self, execution: Execution, recorder: Recorder) -> None:
        self.execution = execution
        self.recorder = recorder
        self.selections = {n: one for n, one in execution.nodes.items() if isinstance(one, Selection)}
        self.best: tuple[float, int] | None = None
        self._warned: set[str] = set()

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best} if self.selections else {}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"] and tuple(state_dict["best"])

    def announce(self, max_epochs: int) -> None:
        """Warn of settings that end otherwise than meant, before any data are read."""
        for name, one in self.selections.items():
            if not (max_epochs and one.trainable and one.hard):
                continue
            last = one.temperature_at(max_epochs - 1, max_epochs)
            if last > one.temperature_min * (1 + 1e-6):
                ratio = one.temperature_min / one.temperature_init
                decay = f"{ratio ** (1 / (max_epochs - 1)):.3f} or None" if max_epochs > 1 else "more epochs"
                logger.warning(
                    "%s: ends at a temperature of %.3f: temperature_min=%g is not reached in %d epochs, so "
                    "the hard choice that is deployed is never trained with. Set temperature_decay=%s.",
                    one.label, last, one.temperature_min, max_epochs, decay,
                )  # fmt: skip
            for other in downstream(self.execution, name):
                node = self.execution.nodes[other]
                scores = isinstance(node, FittedNode) and isinstance(node, AffineNode) and has_pointwise(node)
                if scores and not node.trainable and follower(node) is None and node.state_shapes.get("mu"):
                    logger.warning(
                        "%s: its frozen statistics are of the hard choice of %s, whose soft choice it is "
                        "given in training. RXGlobal(stats='follow') follows it.",
                        node.label, one.label,
                    )  # fmt: skip

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tell choices of bands that are not fitted yet their wavelengths."""
        source = trainer.datamodule  # type: ignore[attr-defined]  # set by a connector
        if stage != "fit" or source is None:
            return
        nm = getattr(source.inner, "wavelengths", None)  # a foreign data module may know none
        for name, one in self.selections.items():
            point = self.execution.input_of(name)
            if nm is not None and not len(one.wavelengths) and self._is_of_cube(point):
                one.receive_wavelengths(nm)

    def _is_of_cube(self, point: tuple[str, ...]) -> bool:
        return len(point) == 1 and self.execution.base(point, Structure.CHANNELWISE) == CUBE

    # Epochs.

    def _trained(self) -> dict[str, Selection]:
        return {name: one for name, one in self.selections.items() if one.logits.requires_grad}

    def holds_back(self, max_epochs: int) -> bool:
        """Return whether losses do not count yet, since a choice that will become hard is soft."""
        return any(
            one.hard
            and not one.settled
            and one.temperature_at(max_epochs - 1, max_epochs) <= one.temperature_min
            for one in self._trained().values()
        )

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        max_epochs = trainer.max_epochs or 1
        for name, one in self._trained().items():
            before = one.settled
            one.update_temperature(trainer.current_epoch, max_epochs)
            if one.settled and not before:
                logger.info("  %s: the choice is hard from epoch %d on", one.label, trainer.current_epoch + 1)
                self._derive(name)
                one.record(trainer.current_epoch)
                _start_watching(trainer)

    @override
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        for one in self._trained().values():
            one.annealing = True

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._pause()

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._pause()

    def _pause(self) -> None:
        for one in self.selections.values():
            one.annealing = False

    @override
    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Let the optimizer pass over logits that have stopped, its weight decay and moments included."""
        for one in self._trained().values():
            if one.settled:
                one.logits.grad = None

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._note(trainer)

    def _note(self, trainer: Trainer) -> None:
        for name, one in self._trained().items():
            self._derive(name)
            one.record(trainer.current_epoch)

    def _derive(self, name: str) -> None:
        one = self.selections[name]
        if one.lacks_statistics() or (one.hard and not one.changed()):
            return
        for other in derive_downstream(self.execution, name):
            if other not in self._warned:
                logger.warning(
                    "  %s: its statistics stay those of the first choice of %s, which cannot be derived",
                    self.execution.nodes[other].label, one.label,
                )  # fmt: skip
            self._warned.add(other)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found = trainer.callback_metrics.get(F1)
        if not self._trained() or found is None or trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        if self.best is None or float(found) > self.best[0]:
            self.best = (float(found), trainer.current_epoch)

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log temperature and choice of the epoch."""
        self._note(trainer)
        for name, one in self._trained().items():
            own = "selector_temperature" if len(self._trained()) == 1 else f"{name}_temperature"
            values = {logged("train", "metric", own): float(one.temperature)}
            pl_module.log_dict(dict[str, float | Tensor](values))
            self.recorder.scalars(
                values, "train", epoch=trainer.current_epoch, global_step=trainer.global_step, per_step=False
            )
            logger.info("  %s: %.4g", own, float(one.temperature))
            logger.info("  selected channels: %s", one.get_selected_channels().tolist())

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave nodes downstream with the statistics of the final choice, and log it."""
        for name, one in self._trained().items():
            self._derive(name)
            one.record(int(one.history[-1, 0]))
            weights, nm = one.get_selection_weights(hard=False).detach(), one.selected_wavelengths
            listed = [
                f"{channel}{'' if nm is None else f' ({nm[i]:.0f} nm)'}: {float(weights[channel]):.2f}"
                for i, channel in enumerate(one.get_selected_channels().tolist())
            ]
            logger.info("Final channels of %s by weight: %s", one.label, ", ".join(listed))
        if self.best is not None:
            logger.info("Best F1: %.4f at epoch %d", self.best[0], self.best[1] + 1)


def _start_watching(trainer: Trainer) -> None:
    """Let what looks for the best epoch begin with this one: soft choices before it are not deployed."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by a connector
        if isinstance(callback, EarlyStopping):
            callback.wait_count, callback.best_score = (
                0,
                callback.best_score.new_tensor(_worst(callback.mode)),
            )
        elif isinstance(callback, ModelCheckpoint) and callback.monitor is not None:
            for path in list(callback.best_k_models):
                callback._remove_checkpoint(trainer, path)
            callback.best_k_models, callback.kth_best_model_path = {}, ""
            callback.best_model_path, callback.best_model_score = "", None
            callback.kth_value = (callback.kth_value * 0 + 1) * _worst(callback.mode)


def _worst(mode: str) -> float:
    return float("inf") if mode == "min" else -float("inf")
