"""A checkpoint that a run goes on from: checked as a whole before anything of the graph changes."""

import copy
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.execution.execution import Execution
from cuvis_ai.node.base import freeze
from cuvis_ai.node.base.agreement import check_state
from cuvis_ai.node.base.state import REST, set_state
from cuvis_ai.node.base.state import allocate as allocate_state
from cuvis_ai.training.config import TrainingConfig
from cuvis_ai.training.engine.checkpoint_file import (
    OF_A_CHANGED_FORM,
    forget_foreign_paths,
    position_of,
    read_checkpoint,
)
from cuvis_ai.training.engine.epoch import Losses
from cuvis_ai.training.engine.held_state import check_held_state, check_progress, check_verdict
from cuvis_ai.training.engine.optimizer_state import state_to_load
from cuvis_ai.training.engine.parts import Parts
from cuvis_ai.training.engine.same_run import (
    check_description,
    check_same_run,
    defaults_of,
    description,
    loading_of,
    log_freely_changed,
)
from cuvis_ai.training.engine.verdict import Verdict

logger = logging.getLogger(__name__)

_PARAMETRIZED = re.compile(r"\.parametrizations\.(\w+)\..*")


class Resumption(Callback):
    """Compares a checkpoint with the run that goes on from it, then lets nodes take the shapes it holds.

    A callback of the trainer, which sees when all of it has been taken up.

    Args:
        path: the checkpoint.
        parts: the graph.
        losses: its losses.
        config: the settings.
        trainer: the trainer, whose `max_epochs` is 0 where nothing can be trained.

    Attributes:
        epoch, step: where it was written, see `position_of`.
        held: the description of its run; None if it holds none.

    Raises:
        ConfigError: it is of another run, or changed; the graph is as it was.
    """

    def __init__(
        self, path: Path, parts: Parts, losses: Losses, config: TrainingConfig, trainer: Trainer
    ) -> None:
        self.path, self._parts, self._config = path, parts, config
        self._being_taken_up = False
        checkpoint = read_checkpoint(path)
        self.epoch, self.step = position_of(checkpoint)
        run = checkpoint["cuvis_ai"].get("run") if isinstance(checkpoint["cuvis_ai"], dict) else None
        self.held = check_description(run, path)
        if self.held is not None:
            check_same_run(self.held, description(parts, config), defaults_of(parts))
        try:
            check_held_state(checkpoint["cuvis_ai"], losses)
            check_progress(checkpoint, trainer)
        except OF_A_CHANGED_FORM as err:
            raise ConfigError(
                f"ckpt_path: expected a checkpoint as it was written, got {str(path)!r}, which is changed: "
                f"{err!s:.500}"
            ) from err
        if not trainer.max_epochs or self.epoch > trainer.max_epochs:
            raise ConfigError(
                f"max_epochs: expected at least the {self.epoch} epochs of the checkpoint {str(path)!r} and "
                f"something to train, got {trainer.max_epochs}. Ask for more epochs, or load the saved graph."
            )
        _check_weights(checkpoint["state_dict"], parts, precision=config.trainer.precision)
        self._before = {
            name: {state: getattr(node, state).detach().clone() for state in node.state_shapes}
            for name, node in parts.execution.nodes.items()
        }
        self._leaves_before = copy.deepcopy(parts.leaves.state_dict())
        with self.undone_if_refused():
            _allocate(parts.execution, parts.leaves, checkpoint["state_dict"])
        logger.info("Going on from %s, which holds %d of %d epochs", path, self.epoch, trainer.max_epochs)

    def take_up(self, checkpoint: dict[str, Any], module: LightningModule) -> None:
        """Let Lightning restore what fits; called before it does."""
        self._being_taken_up = True
        check_verdict(checkpoint.get("callbacks", {}).get(Verdict.__name__), module)
        settings = None if self.held is None else self.held["settings"]
        checkpoint["optimizer_states"] = state_to_load(
            checkpoint["optimizer_states"], self._config.optimizer, module.named_parameters(), settings
        )
        if (
            self._config.trainer.precision == "64"
        ):  # Lightning converts later: until then digits would be lost
            self._parts.nodes.double()
            self._parts.leaves.double()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let callbacks that were restored remove no file but their own."""
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint):
                forget_foreign_paths(callback)

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Know that all has been taken up."""
        self._being_taken_up = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Know that all has been taken up; say it if batches come otherwise than before."""
        self._being_taken_up = False
        if self.held is not None:
            log_freely_changed(self.held["loading"], loading_of(trainer.train_dataloader))

    @contextmanager
    def undone_if_refused(self) -> Iterator[None]:
        """Return the graph to what it was if what happens inside is refused with a `ConfigError`.

        Whatever else is raised while Lightning and callbacks take the checkpoint up becomes one.
        """
        try:
            yield
        except Exception as err:
            if not isinstance(err, ConfigError) and not self._being_taken_up:
                raise
            for name, node in self._parts.execution.nodes.items():
                freeze(node)
                set_state(node, **self._before[name])
            self._parts.leaves.load_state_dict(self._leaves_before)
            if isinstance(err, ConfigError):
                raise
            raise ConfigError(
                f"ckpt_path: expected a checkpoint as it was written, got {str(self.path)!r}, which cannot "
                f"be taken up: {type(err).__name__}: {_in_one_line(err)}"
            ) from err


def checked_bands(
    datamodule: LightningDataModule, parts: Parts, resumption: Resumption | None
) -> dict[str, str]:
    """Return the bands of a data module as text, see `Parts.check_data`; others than before are refused."""
    if resumption is None or resumption.held is None:
        return parts.check_data(datamodule, None)
    try:
        return parts.check_data(datamodule, resumption.held["bands"])
    except GraphError as err:
        raise ConfigError(f"ckpt_path: the run cannot go on with these data: {err}") from err


def _in_one_line(err: Exception) -> str:
    """Return the start of a message; torch's has line breaks and tabs."""
    return " ".join(str(err).split())[:300]


def _check_weights(stored: Mapping[str, Tensor], parts: Parts, *, precision: str) -> None:
    """Raise a `ConfigError` unless a checkpoint has the names and types of a graph's state."""
    given = {_PARAMETRIZED.sub(r".\1", name): tensor for name, tensor in stored.items()}
    members: dict[str, nn.Module] = {
        **{f"nodes.{name}": node for name, node in parts.execution.nodes.items()},
        **{f"leaves.{name}": leaf for name, leaf in parts.leaves.items()},
    }
    unknown = sorted({".".join(name.split(".")[:2]) for name in given} - set(members))
    fitted = {
        f"nodes.{name}.{state}" for name, node in parts.execution.nodes.items() for state in node.state_shapes
    }
    # Checkpoints of before there were rests have none.
    missing = sorted(name for name in fitted - set(given) if not name.endswith(REST))
    if unknown or missing:
        of_other_leaves = "leaves" if any(name.startswith("leaves.") for name in unknown) else "nodes"
        listed = {"missing": missing, "not in this graph": unknown}
        raise ConfigError(
            f"ckpt_path: the checkpoint is of a graph with other {of_other_leaves}: "
            + "; ".join(f"{what}: {', '.join(names)[:500]}" for what, names in listed.items() if names)
        )
    for member, module in members.items():
        for key, own in module.state_dict(prefix=f"{member}.").items():
            tensor = given.get(_PARAMETRIZED.sub(r".\1", key))
            expected = own.double() if precision == "64" and own.is_floating_point() else own
            if tensor is not None and tensor.dtype != expected.dtype:
                raise ConfigError(
                    f"ckpt_path: {key}: expected {expected.dtype}, got {tensor.dtype} in the checkpoint. Go "
                    "on with the precision that it was written with."
                )


def _allocate(execution: Execution, leaves: nn.ModuleDict, stored: Mapping[str, Tensor]) -> None:
    """Let nodes take the shapes that a checkpoint holds, which makes them fitted, and leaves their values."""
    prefix = "leaves."
    of_leaves = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    try:
        leaves.load_state_dict(of_leaves)
    except RuntimeError as err:
        raise ConfigError(
            f"ckpt_path: the checkpoint is of a graph with other leaves: {_in_one_line(err)}"
        ) from err
    for name, node in execution.nodes.items():
        # A parametrized weight is stored as its argument, of the same shape.
        places = {
            state: (f"nodes.{name}.{state}", f"nodes.{name}.parametrizations.{state}.original")
            for state in node.state_shapes
        }
        shapes = {s: stored[k].shape for s, keys in places.items() for k in keys if k in stored}
        allocate_state(node, shapes)
        try:
            check_state(name, node)
        except GraphError as err:
            raise ConfigError(f"ckpt_path: the checkpoint's weights do not fit: {err}") from err
