"""Sets up a Lightning `Trainer` for a graph and runs the two phases."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import LightningDataModule, Trainer, seed_everything
from torch.utils.data import DataLoader

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.node.base import require_fitted
from cuvis_ai.paths import StrPath
from cuvis_ai.training.config import TrainingConfig
from cuvis_ai.training.engine.batches import (
    CountedBatches,
    any_rank_has_batches,
    context_read,
    require_data_module,
    sized_and_filled,
)
from cuvis_ai.training.engine.epoch import Losses
from cuvis_ai.training.engine.lightning_module import GraphModule
from cuvis_ai.training.engine.lightning_trainer import (
    config_errors,
    ends_between_validations,
    make_trainer,
    may_stop_early,
)
from cuvis_ai.training.engine.opening import Opening, StatisticalStart
from cuvis_ai.training.engine.parts import Parts
from cuvis_ai.training.engine.pictures import Pictures
from cuvis_ai.training.engine.resume import (
    check_checkpoint_folders,
    find_checkpoint,
    log_way_back,
)
from cuvis_ai.training.engine.resumption import Resumption
from cuvis_ai.training.monitors import Recorder
from cuvis_ai.training.monitors.records import numbered
from cuvis_ai.types import Batch

logger = logging.getLogger(__name__)


@contextmanager
def _first_rank_reports() -> Iterator[None]:
    """Let the other ranks' log have warnings alone: how the run goes, the first says for all."""
    package = logging.getLogger(__name__.partition(".")[0])
    level = package.level
    if getattr(rank_zero_only, "rank", 0):
        package.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        package.setLevel(level)


@_first_rank_reports()
def train(
    parts: Parts, datamodule: LightningDataModule, config: TrainingConfig, ckpt_path: StrPath | None = None
) -> Trainer:
    """Run the statistical phase, then the gradient phase if there is something to train.

    Args:
        parts: the graph.
        datamodule: yields the batches of `cuvis_ai.types.Batch`.
        config: the settings.
        ckpt_path: a checkpoint to go on from, or "last" for the newest one of the callbacks.

    Returns:
        The Lightning trainer, after `fit` (after `validate` if only the statistical phase ran).
    """
    _begin(config)
    losses = Losses(parts.execution, parts.losses, parts.composites)
    max_epochs = _epochs_with_gradients(parts, losses, config.trainer.max_epochs)
    trainer = make_trainer(config.trainer, max_epochs=max_epochs)
    recorder = Recorder(parts.monitors, active=trainer.is_global_zero, withheld=parts.withheld)
    pictures = Pictures(
        parts.execution,
        parts.visualizations if parts.monitors else (),
        recorder,
        ranks=trainer.world_size,
        may_stop_early=may_stop_early(config.trainer),
    )
    source = CountedBatches(
        datamodule,
        train=losses.read_data,
        val=losses.read_data or pictures.read_data or any(one.leaf.observes() for one in parts.metrics),
        context=_context(parts),
    )
    if not source.reads["val"] and trainer.limit_val_batches:
        trainer.limit_val_batches = 1.0  # of the one number that stands for them
    checkpoint = find_checkpoint(ckpt_path, config.trainer)
    resumption = None if checkpoint is None else Resumption(checkpoint, parts, losses, config, trainer)
    module = GraphModule(parts, losses, pictures, recorder, config, resumption=resumption)
    if max_epochs and trainer.is_global_zero:
        check_checkpoint_folders(config.trainer)
    opening = Opening(module)
    complete = False
    try:
        with _own_dtype(parts), module.signals.handled(trainer):
            _run(trainer, module, source, opening)
        if resumption is not None and trainer.global_step == resumption.step:
            # Lightning then ends without its hooks.
            logger.info("The checkpoint is of the end of the run: nothing was left to train")
            parts.execution.refresh_followers()
        complete = True
    finally:
        if opening.done:
            recorder.close(failed=not complete, holds=_held_at_end(trainer, module) if complete else "")
        if not complete and trainer.is_global_zero and trainer.global_step:
            log_way_back(config.trainer, epoch=trainer.current_epoch)
    return trainer


def _begin(config: TrainingConfig) -> None:
    """Log the settings, and seed the generators."""
    if torch.is_inference_mode_enabled():
        raise GraphError(
            "train: expected to run outside `torch.inference_mode`, whose tensors can never be trained, got "
            "it enabled. Leave it before."
        )
    logger.info("Starting training with config: %s", config)
    if config.seed is not None:
        seed_everything(config.seed, workers=True, verbose=False)


def _held_at_end(trainer: Trainer, module: GraphModule) -> str:
    """Say which state the graph holds after a run."""
    if not trainer.max_epochs:
        return "the statistics"
    if module.verdict.reverted:
        return "the start, to which it was returned, since training did not make it better"
    last = trainer.current_epoch - 1
    best = last if module.best is None else module.best[1]
    others = "" if best == last else f", not those of the best, {numbered(best, trainer.max_epochs)}"
    return f"the weights of the last epoch, {numbered(last, trainer.max_epochs)}{others}"


def _context(parts: Parts) -> int:
    """Return how many pixels around a tile its scores depend on; 0 where whole cubes are needed."""
    return parts.execution.halo(tuple(parts.execution.nodes)) or 0


def evaluate(
    parts: Parts, source: LightningDataModule | Batch, split: str, config: TrainingConfig
) -> dict[str, float]:
    """Return losses and metrics of one split of a data module, or of a batch, logged nowhere."""
    for node in parts.execution.nodes.values():
        require_fitted(node)
    if isinstance(source, LightningDataModule):
        loader = split_loader(parts, source, split)
    else:
        loader = DataLoader([source], batch_size=None)  # type: ignore[arg-type]  # a list is a data set
    losses = Losses(parts.execution, parts.losses, parts.composites)
    recorder = Recorder([])
    pictures = Pictures(parts.execution, (), recorder)
    module = GraphModule(parts, losses, pictures, recorder, config, evaluated_split=split)
    trainer = make_trainer(replace(config.trainer, callbacks=[]), max_epochs=0)
    with _expected_warnings(), _own_dtype(parts), module.signals.handled(trainer):
        trainer.test(module, dataloaders=loader, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def split_loader(parts: Parts, datamodule: LightningDataModule, split: str) -> Any:
    """Return the loader of one split of a data module that suits the graph."""
    stages = {"train": "fit", "val": "validate", "test": "test"}
    if split not in stages:
        raise ConfigError(f"evaluate: expected a split of {', '.join(stages)}, got {split!r}.")
    require_data_module("evaluate", datamodule)
    datamodule.setup(stages[split])
    parts.check_data(datamodule, None)
    with context_read(datamodule, _context(parts)):
        loader = getattr(datamodule, f"{split}_dataloader")()
    if not sized_and_filled(loader):
        raise GraphError(f"evaluate: expected cubes in the split `{split}`, got none. Check the data module.")
    return loader


def _run(trainer: Trainer, module: GraphModule, source: CountedBatches, opening: Opening) -> None:
    resumption = module.resumption
    trainer.callbacks.insert(0, opening)  # type: ignore[attr-defined]  # set by a connector
    if module.verdict.points:
        trainer.callbacks.insert(0, module.verdict)  # type: ignore[attr-defined]  # set by a connector
    if module.config.trainer.validate_start and resumption is None:
        trainer.callbacks.append(StatisticalStart())  # type: ignore[attr-defined]  # set by a connector
    start = time.perf_counter()
    with _expected_warnings(), config_errors():
        if resumption is None:
            trainer.fit(module, datamodule=source)
        else:
            trainer.callbacks.append(resumption)  # type: ignore[attr-defined]  # set by a connector
            with resumption.undone_if_refused():
                trainer.fit(module, datamodule=source, ckpt_path=resumption.path, weights_only=True)
        if module.verdict.reverted is None:  # the checkpoint is of the end: Lightning leaves its hooks out
            module.verdict.on_train_end(trainer, module)
        between = ends_between_validations(module.config.trainer)
        late = between and module.validated_step != trainer.global_step
        changed = not trainer.max_epochs or module.verdict.reverted or late
        if changed and any_rank_has_batches(trainer, source.val_dataloader()):
            trainer.validate(module, datamodule=source, verbose=False)
    if trainer.max_epochs:
        logger.info("Training complete in %s", _duration(time.perf_counter() - start))
        if module.best is not None:
            kind = "validation" if module.has_validation else "training"
            at = numbered(module.best[1], trainer.max_epochs)
            logger.info("Best %s loss: %.4g at epoch %s", kind, module.best[0], at)


@contextmanager
def _own_dtype(parts: Parts) -> Iterator[None]:
    """Return nodes and leaves to their dtype at the end: Lightning leaves them in that of its precision."""
    dtype = parts.execution.dtype
    try:
        yield
    finally:
        if parts.execution.dtype != dtype:
            parts.nodes.to(dtype)
            parts.leaves.to(dtype)


@contextmanager
def _expected_warnings() -> Iterator[None]:
    """Suppress warnings of Lightning that are expected here."""
    with warnings.catch_warnings():
        # Cubes read from memory or from one file need no worker processes. Without a gradient phase
        # there is no optimizer, without a validation set no batch: both are meant. And Lightning
        # 2.6 uses a name that torch has deprecated.
        for message in (
            r"The '\w+_dataloader' does not have many workers",
            r"Total length of `list` across ranks is zero",
            r"`LightningModule.configure_optimizers` returned `None`",
            r"`isinstance\(treespec, LeafSpec\)` is deprecated",
        ):
            warnings.filterwarnings("ignore", message=message)
        yield


def _epochs_with_gradients(parts: Parts, losses: Losses, max_epochs: int) -> int:
    """Return the epochs that were asked for, 0 where nothing can be trained; warn then."""
    reached = losses.reached()
    trainable = [name for name, node in parts.execution.nodes.items() if node.trainable]
    possible = any(name in reached for name in trainable) or any(
        p.requires_grad for p in parts.leaves.parameters()
    )
    if max_epochs and not possible:
        reason = "no node is trainable" if not trainable else "no loss depends on a trainable node"
        logger.warning("max_epochs=%d, but %s: only the statistical phase runs", max_epochs, reason)
    return max_epochs if possible else 0


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{int(minutes)}m {seconds:02.0f}s" if minutes else f"{seconds:.1f}s"
