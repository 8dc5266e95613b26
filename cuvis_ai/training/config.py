"""Settings of a run: frozen dataclasses that check their values."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

from cuvis_ai.errors import ConfigError
from cuvis_ai.plain_types import misfit

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
        if isinstance(self.betas, list):
            object.__setattr__(self, "betas", tuple(self.betas))
        rate = _number("in [0, 1)", lambda x: 0 <= x < 1)
        _check(
            self,
            name=_one_of(get_args(OptimizerName)),
            lr=_number("above 0", lambda x: x > 0),
            weight_decay=_number("0 or more", lambda x: x >= 0),
            momentum=rate,
            betas=_Rule(
                "two numbers in [0, 1)",
                lambda x: isinstance(x, tuple) and len(x) == 2 and all(map(rate.holds, x)),
            ),
        )


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
        _check(
            self,
            factor=_number("in (0, 1)", lambda x: 0 < x < 1),
            patience=_integer(0),
            min_lr=_number("0 or more", lambda x: x >= 0),
        )


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """What the Lightning `Trainer` is told; see its documentation for the meaning of each value."""

    max_epochs: int = 10
    """Epochs of gradient training; 0 runs the statistical phase and one validation."""
    accelerator: str = "auto"
    """auto, cpu, gpu, …"""
    devices: int | str | list[int] = 1
    """Number of devices, their indices, or auto."""
    num_nodes: int = 1
    """Number of machines, each with so many devices; 1 or more."""
    strategy: str = "auto"
    """auto, ddp, …"""
    precision: Precision = "32"
    """32, 64, 16-mixed or bf16-mixed.

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
    num_sanity_val_steps: int = 2
    """Validation batches run before training, to find errors early; 0 or more, -1 for all."""
    validate_start: bool = True
    """Whether a validation before the first step records the statistical start, as `start/…`."""
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
        if isinstance(self.callbacks, tuple):
            object.__setattr__(self, "callbacks", list(self.callbacks))
        _check(
            self,
            max_epochs=_integer(0),
            num_nodes=_integer(1),
            precision=_one_of(get_args(Precision)),
            log_every_n_steps=_integer(1),
            accumulate_grad_batches=_integer(1),
            check_val_every_n_epoch=_integer(1),
            num_sanity_val_steps=_integer(-1),
            gradient_clip_val=_optional(_number("above 0", lambda x: x > 0)),
            devices=_Rule(
                "1 or more, -1 for all, a list of indices or 'auto'",
                lambda x: x and (not isinstance(x, int) or (x is not True and (x >= 1 or x == -1))),
            ),
        )


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
        _check(
            self,
            seed=_optional(
                _Rule("an integer from 0 to 4294967295", lambda x: _integer(0).holds(x) and x < 2**32)
            ),
            trainer=_a(TrainerConfig),
            optimizer=_a(OptimizerConfig),
            scheduler=_a(SchedulerConfig),
        )

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
        config: TrainingConfig = _from_mapping(cls, settings, "training")
        return config


def unknown_key(where: str, key: object, known: Iterable[str]) -> str:
    """Return the message on an unknown key of a configuration: with the nearest one, or all."""
    names = list(known)
    close = difflib.get_close_matches(str(key), names, n=1)
    hint = f"Did you mean `{close[0]}`?" if close else f"Known keys: {', '.join(names) or 'none'}."
    return f"`{where}{key}`: unknown key. {hint}"


def _from_mapping(cls: type[Any], settings: Mapping[str, Any], path: str) -> Any:
    known = {f.name: f.default_factory for f in fields(cls)}
    problems, values = [], dict(settings)
    for key, value in settings.items():
        if key not in known:
            problems.append(unknown_key(f"{path}.", key, known))
        elif is_dataclass(nested := known[key]) and isinstance(value, Mapping):
            try:
                values[key] = _from_mapping(nested, value, f"{path}.{key}")
            except ConfigError as err:
                problems.append(str(err))
    if problems:
        raise ConfigError("\n".join(problems))
    return cls(**values)


class _Rule(NamedTuple):
    """What a setting has to be, in words and as a test."""

    expected: str
    holds: Callable[[Any], bool]


def _number(expected: str, allowed: Callable[[float], bool]) -> _Rule:
    return _Rule(
        f"a number {expected}",
        lambda x: isinstance(x, int | float) and not isinstance(x, bool) and allowed(x),
    )


def _integer(least: int) -> _Rule:
    return _Rule(
        f"an integer, {least} or more",
        lambda x: isinstance(x, int) and not isinstance(x, bool) and x >= least,
    )


def _one_of(choices: tuple[str, ...]) -> _Rule:
    return _Rule(f"one of {', '.join(choices)}", lambda x: x in choices)


def _a(kind: type[Any]) -> _Rule:
    return _Rule(f"a {kind.__name__}", lambda x: isinstance(x, kind))


def _optional(rule: _Rule) -> _Rule:
    return _Rule(rule.expected, lambda x: x is None or rule.holds(x))


def _check(config: Any, **rules: _Rule) -> None:
    """Raise a `ConfigError` that lists every setting that breaks its rule, or is of another type."""
    where, kinds, problems = type(config).__name__, get_type_hints(type(config)), []
    for name, kind in kinds.items():
        value, rule = getattr(config, name), rules.get(name)
        if rule and not rule.holds(value):
            problems.append(f"{where}: `{name}`: expected {rule.expected}, got {value!r}.")
        elif problem := misfit(value, kind, f"{where}: `{name}`"):
            problems.append(problem)
    if problems:
        raise ConfigError("\n".join(problems))
