"""Settings of a run: frozen dataclasses that check their values."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, get_args

from cuvis_ai.errors import ConfigError

OptimizerName = Literal["adam", "adamw", "sgd"]
Precision = Literal["32", "16-mixed", "bf16-mixed", "64"]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimizer of the gradient phase."""

    name: OptimizerName = "adam"
    """adam, adamw or sgd."""
    lr: float = 1e-3
    """Learning rate; above 0."""
    weight_decay: float = 0.0
    """L2 penalty (adam, sgd) or decoupled decay (adamw); 0 or more."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of Adam's moment estimates, each in [0, 1)."""
    momentum: float = 0.0
    """Momentum of sgd, in [0, 1)."""

    def __post_init__(self) -> None:
        """Check the values."""
        object.__setattr__(self, "betas", tuple(self.betas))
        problems = _Problems("OptimizerConfig")
        problems.one_of("name", self.name, get_args(OptimizerName))
        problems.number("lr", self.lr, "above 0", lambda x: x > 0)
        problems.number("weight_decay", self.weight_decay, "0 or more", lambda x: x >= 0)
        problems.number("momentum", self.momentum, "in [0, 1)", lambda x: 0 <= x < 1)
        if len(self.betas) != 2:
            problems.add("betas", "two numbers in [0, 1)", self.betas)
        for beta in self.betas:
            problems.number("betas", beta, "in [0, 1) each", lambda x: 0 <= x < 1)
        problems.raise_all()


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """Reduces the learning rate when the validation loss (without one, the training loss) stalls."""

    factor: float = 0.1
    """What the learning rate is multiplied with, in (0, 1)."""
    patience: int = 10
    """Epochs without improvement before it is; 0 or more."""
    min_lr: float = 0.0
    """The rate never falls below this; 0 or more."""

    def __post_init__(self) -> None:
        """Check the values."""
        problems = _Problems("SchedulerConfig")
        problems.number("factor", self.factor, "in (0, 1)", lambda x: 0 < x < 1)
        problems.integer("patience", self.patience, 0)
        problems.number("min_lr", self.min_lr, "0 or more", lambda x: x >= 0)
        problems.raise_all()


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """What the Lightning `Trainer` is told; see its documentation for the meaning of each value."""

    max_epochs: int = 10
    """Epochs of gradient training; 0 runs the statistical phase and one validation."""
    accelerator: str = "auto"
    """auto, cpu, gpu, …"""
    devices: int | str | list[int] = 1
    """Number of devices, their indices, or auto."""
    strategy: str = "auto"
    """auto, ddp, …"""
    precision: Precision = "32"
    """32, 64, 16-mixed or bf16-mixed. Statistics and scores are never computed in half precision."""
    log_every_n_steps: int = 10
    """Steps between two values per step; 1 or more."""
    gradient_clip_val: float | None = None
    """Greatest norm of the gradient; above 0, or None."""
    accumulate_grad_batches: int = 1
    """Batches per step; 1 or more."""
    check_val_every_n_epoch: int = 1
    """Epochs between two validations; 1 or more."""
    num_sanity_val_steps: int = 2
    """Validation batches run before training, to find errors early; 0 or more, -1 for all."""
    deterministic: bool = False
    """Whether to use deterministic algorithms alone."""
    callbacks: list[Any] = field(default_factory=list)
    """Lightning callbacks."""
    default_root_dir: str | None = None
    """Where Lightning puts files for which no folder is named."""
    enable_progress_bar: bool = True
    """Whether a progress bar is shown."""

    def __post_init__(self) -> None:
        """Check the values."""
        object.__setattr__(self, "precision", str(self.precision))
        object.__setattr__(self, "callbacks", list(self.callbacks or []))
        problems = _Problems("TrainerConfig")
        problems.integer("max_epochs", self.max_epochs, 0)
        problems.one_of("precision", self.precision, get_args(Precision))
        problems.integer("log_every_n_steps", self.log_every_n_steps, 1)
        problems.integer("accumulate_grad_batches", self.accumulate_grad_batches, 1)
        problems.integer("check_val_every_n_epoch", self.check_val_every_n_epoch, 1)
        problems.integer("num_sanity_val_steps", self.num_sanity_val_steps, -1)
        if self.gradient_clip_val is not None:
            problems.number("gradient_clip_val", self.gradient_clip_val, "above 0", lambda x: x > 0)
        if isinstance(self.devices, int) and self.devices < 1 and self.devices != -1:
            problems.add("devices", "1 or more, -1 for all, a list of indices or 'auto'", self.devices)
        problems.raise_all()


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """All settings of one `graph.train`."""

    seed: int | None = 42
    """Seed of every random number generator; None leaves them as they are."""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    """The trainer's settings."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """The optimizer's settings."""
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    """The settings of ReduceLROnPlateau."""

    def __post_init__(self) -> None:
        """Check the values."""
        problems = _Problems("TrainingConfig")
        if self.seed is not None:
            problems.integer("seed", self.seed, 0)
        for name, kind in (
            ("trainer", TrainerConfig),
            ("optimizer", OptimizerConfig),
            ("scheduler", SchedulerConfig),
        ):
            if not isinstance(getattr(self, name), kind):
                problems.add(name, f"a {kind.__name__}", getattr(self, name))
        problems.raise_all()

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> "TrainingConfig":
        """Return the config that nested mappings describe, such as the `training:` part of a YAML file.

        Raises:
            ConfigError: lists every unknown key and impossible value at once.
        """
        config: TrainingConfig = _from_mapping(cls, settings, "training")
        return config


def _from_mapping(cls: type[Any], settings: Mapping[str, Any], path: str) -> Any:
    known = {f.name: f for f in fields(cls)}
    problems = []
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"Did you mean `{close[0]}`?" if close else f"Known keys: {', '.join(known)}."
            problems.append(f"`{path}.{key}`: unknown key. {hint}")
            continue
        nested = known[key].default_factory
        try:
            is_nested = is_dataclass(nested) and isinstance(value, Mapping)
            values[key] = _from_mapping(nested, value, f"{path}.{key}") if is_nested else value  # type: ignore[arg-type]
        except ConfigError as err:
            problems.append(str(err))
    if not problems:
        try:
            return cls(**values)
        except ConfigError as err:
            problems.append(str(err))
    raise ConfigError("\n".join(problems))


class _Problems:
    """Collects what is wrong with a config, to say it all at once."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.found: list[str] = []

    def add(self, name: str, expected: str, got: object) -> None:
        self.found.append(f"{self.where}: `{name}`: expected {expected}, got {got!r}.")

    def number(self, name: str, value: object, expected: str, allowed: Any) -> None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not allowed(value):
            self.add(name, f"a number {expected}", value)

    def integer(self, name: str, value: object, least: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.add(name, f"an integer, {least} or more", value)

    def one_of(self, name: str, value: object, choices: tuple[str, ...]) -> None:
        if value not in choices:
            self.add(name, f"one of {', '.join(choices)}", value)

    def raise_all(self) -> None:
        if self.found:
            raise ConfigError("\n".join(self.found))
