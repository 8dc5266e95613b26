"""Settings of a run: frozen dataclasses that check their values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from cuvis_ai.errors import ConfigError
from cuvis_ai.training.setting_rules import (
    Rule,
    a,
    check,
    check_extra,
    integer,
    limit,
    number,
    of_mapping,
    one_of,
    optional,
    shorten,
)

OptimizerName = Literal["adam", "adamw", "sgd"]
Precision = Literal["32", "16-mixed", "bf16-mixed", "64", "32-true", "64-true"]
SchedulerName = Literal["plateau", "cosine", "step", "exponential", "reduce_on_plateau"]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimizer of the gradient phase.

    Example:
        >>> OptimizerConfig(name="sgd", lr=0.1, momentum=0.9).momentum
        0.9
    """

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
    scheduler: SchedulerName | None = None
    """The scheduler's name, in short for `scheduler.name`; None leaves it to that."""

    def __post_init__(self) -> None:
        """Check the values."""
        if isinstance(self.betas, list):
            object.__setattr__(self, "betas", tuple(self.betas))
        shorten(self, "scheduler")
        rate = number("in [0, 1)", lambda x: 0 <= x < 1)
        check(
            self,
            name=one_of(get_args(OptimizerName)),
            lr=number("above 0", lambda x: x > 0),
            weight_decay=number("0 or more", lambda x: x >= 0),
            momentum=rate,
            betas=Rule(
                "two numbers in [0, 1)",
                lambda x: isinstance(x, tuple) and len(x) == 2 and all(map(rate.holds, x)),
            ),
        )


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """How the learning rate lr changes from epoch to epoch, after a warm-up.

    In the w epochs of the warm-up it rises in equal steps: lr · e / (w + 1) in epoch e = 1 … w. In the S that
    follow, s = 0 … S − 1:

    - plateau: multiplied with `factor` when the validation loss (without one, the training loss) stalls
    - cosine: min_lr + (lr − min_lr) · (1 + cos(π s / S)) / 2
    - step: lr · factor^⌊s / step_size⌋
    - exponential: lr · factor^(s / step_size)

    Example:
        >>> SchedulerConfig(name="cosine", warmup_epochs=3).warmup_epochs
        3
    """

    name: SchedulerName = "plateau"
    """plateau (reduce_on_plateau), cosine, step or exponential."""
    factor: float = 0.1
    """What the learning rate is multiplied with, in (0, 1)."""
    patience: int = 10
    """plateau: epochs without improvement before it is; 0 or more."""
    step_size: int = 10
    """step, exponential: epochs in which it is multiplied once; 1 or more."""
    min_lr: float = 0.0
    """The rate never falls below this, but in the warm-up; 0 or more."""
    warmup_epochs: int = 0
    """Epochs of the warm-up; 0 or more."""

    def __post_init__(self) -> None:
        """Check the values."""
        shorten(self, "name")
        check(
            self,
            name=one_of(get_args(SchedulerName)),
            factor=number("in (0, 1)", lambda x: 0 < x < 1),
            patience=integer(0),
            step_size=integer(1),
            min_lr=number("0 or more", lambda x: x >= 0),
            warmup_epochs=integer(0),
        )


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """What the Lightning `Trainer` is told; see its documentation for the meaning of each value.

    Example:
        >>> TrainerConfig(max_epochs=20, gradient_clip_val=1.0).precision
        '32'
    """

    max_epochs: int = 10
    """Epochs of gradient training; 0 runs the statistical phase and one validation."""
    max_steps: int = -1
    """Steps after which training ends, even within an epoch; 1 or more, -1 for no such limit."""
    max_time: str | dict[str, int] | None = None
    """Time after which it ends: "DD:HH:MM:SS", or a mapping such as {"hours": 2}."""
    fast_dev_run: bool | int = False
    """Whether to try one batch of training and of validation, or so many, without checkpoints."""
    limit_train_batches: int | float | None = None
    """Training batches of an epoch, or their share as 0.1; the statistical phase reads all data."""
    limit_val_batches: int | float | None = None
    """Validation batches, or their share; 0 for no validation."""
    accelerator: str = "auto"
    """auto, cpu, gpu, …"""
    devices: int | str | list[int] = 1
    """Number of devices, their indices, or auto."""
    num_nodes: int = 1
    """Number of machines, each with so many devices; 1 or more."""
    strategy: str = "auto"
    """auto, ddp, …"""
    precision: Precision = "32"
    """32 (32-true), 64 (64-true), 16-mixed or bf16-mixed.

    Statistics and scores are never computed in half precision. With 64 the gradient phase runs in double
    precision, whatever the batches' own; the graph that comes out takes cubes as before.
    """
    log_every_n_steps: int = 10
    """Steps between two values per step; 1 or more."""
    gradient_clip_val: float | None = None
    """Greatest norm of the gradient; above 0, or None."""
    accumulate_grad_batches: int = 1
    """Batches per step; 1 or more."""
    check_val_every_n_epoch: int = 1
    """Epochs between two validations; 1 or more."""
    val_check_interval: int | float | None = None
    """Training batches between two validations, or a share of the epoch as 0.25; None for one at its end."""
    num_sanity_val_steps: int = 2
    """Validation batches run before training, to find errors early; 0 or more, -1 for all."""
    validate_start: bool = True
    """Whether a validation before the first step records the statistical start, as `start/…`."""
    deterministic: bool = False
    """Whether to use deterministic algorithms alone."""
    benchmark: bool | None = None
    """Whether cuDNN tries its algorithms and takes the fastest; None leaves it as it is."""
    enable_checkpointing: bool | None = None
    """True: a checkpoint of every epoch without a callback; None: those of the callbacks."""
    callbacks: list[Any] = field(default_factory=list)
    """Lightning callbacks."""
    default_root_dir: str | None = None
    """Where Lightning puts files for which no folder is named."""
    enable_progress_bar: bool = True
    """Whether a progress bar is shown."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Whatever else the `Trainer` takes, by its name there, such as {"gradient_clip_algorithm": "value"}."""

    def __post_init__(self) -> None:
        """Check the values."""
        object.__setattr__(self, "precision", str(self.precision))
        shorten(self, "precision")
        if isinstance(self.callbacks, tuple):
            object.__setattr__(self, "callbacks", list(self.callbacks))
        check(
            self,
            max_epochs=integer(0),
            max_steps=Rule("an integer, 1 or more, or -1", lambda x: x == -1 or integer(1).holds(x)),
            fast_dev_run=Rule(
                "true, false or a number of batches", lambda x: isinstance(x, bool) or integer(0).holds(x)
            ),
            limit_train_batches=optional(limit(zero=False)),
            limit_val_batches=optional(limit(zero=True)),
            val_check_interval=optional(limit(zero=False)),
            callbacks=Rule(
                "Lightning callbacks (`cuvis_ai.pipeline.build` makes them of mappings with `_target_`)",
                lambda x: isinstance(x, list) and not any(isinstance(one, Mapping) for one in x),
            ),
            num_nodes=integer(1),
            precision=one_of(get_args(Precision)),
            log_every_n_steps=integer(1),
            accumulate_grad_batches=integer(1),
            check_val_every_n_epoch=integer(1),
            num_sanity_val_steps=integer(-1),
            gradient_clip_val=optional(number("above 0", lambda x: x > 0)),
            devices=Rule(
                "1 or more, -1 for all, a list of indices or 'auto'",
                lambda x: x and (not isinstance(x, int) or (x is not True and (x >= 1 or x == -1))),
            ),
        )
        if self.extra:
            check_extra(self.extra, [one.name for one in fields(self)])


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """All settings of one `graph.train`.

    Example:
        >>> TrainingConfig(seed=1, optimizer=OptimizerConfig(lr=0.01)).trainer.max_epochs
        10
    """

    seed: int | None = 42
    """Seed of every random number generator; None leaves them as they are."""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    """The trainer's settings."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """The optimizer's settings."""
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    """How the learning rate changes."""
    monitor_plugins: list[Any] = field(default_factory=list)
    """Monitors; deprecated: `graph.register_monitor` takes them one by one."""

    def __post_init__(self) -> None:
        """Check the values, and take over the scheduler that the optimizer's settings name."""
        check(
            self,
            seed=optional(
                Rule("an integer from 0 to 4294967295", lambda x: integer(0).holds(x) and x < 2**32)
            ),
            trainer=a(TrainerConfig),
            optimizer=a(OptimizerConfig),
            scheduler=a(SchedulerConfig),
        )
        asked, own = self.optimizer.scheduler, self.scheduler.name
        if asked is not None and asked != own:
            if own != SchedulerConfig.name:
                raise ConfigError(
                    f"TrainingConfig: `optimizer.scheduler`: expected {own!r}, as in `scheduler.name`, got "
                    f"{asked!r}. Name it in one place."
                )
            object.__setattr__(self, "scheduler", replace(self.scheduler, name=asked))

    @classmethod
    def of(cls, given: "TrainingConfig | None") -> "TrainingConfig":
        """Return the settings given, or the default ones.

        Raises:
            ConfigError: they are of another type.
        """
        if given is not None and not isinstance(given, cls):
            raise ConfigError(
                f"training_config: expected a TrainingConfig, got {type(given).__name__}. Make one of nested "
                "mappings with `TrainingConfig.from_mapping(settings)`."
            )
        return cls() if given is None else given

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> "TrainingConfig":
        """Return the config that nested mappings describe, such as the `training:` part of a YAML file.

        Raises:
            ConfigError: lists every unknown key and impossible value at once.
        """
        config: TrainingConfig = of_mapping(cls, settings, "training")
        return config

    @classmethod
    def from_dict_config(cls, settings: Mapping[str, Any]) -> "TrainingConfig":
        """Return the config that a part of a composed Hydra configuration describes, interpolations resolved.

        Raises:
            ConfigError: as `from_mapping`; or an interpolation cannot be resolved.

        Example:
            >>> from omegaconf import OmegaConf
            >>> cfg = OmegaConf.create({"training": {"trainer": {"max_epochs": 3}}})
            >>> TrainingConfig.from_dict_config(cfg.training).trainer.max_epochs
            3
        """
        from omegaconf import OmegaConf  # heavy
        from omegaconf.errors import OmegaConfBaseException

        if not OmegaConf.is_config(settings):
            return cls.from_mapping(settings)
        try:
            plain: Any = OmegaConf.to_container(settings, resolve=True)
        except OmegaConfBaseException as err:
            raise ConfigError(f"training: {err}") from err
        return cls.from_mapping(plain)
