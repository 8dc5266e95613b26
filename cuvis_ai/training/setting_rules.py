"""Rules of settings, in words and as tests, and what is said of one that breaks them."""

import difflib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, get_type_hints

from cuvis_ai.errors import ConfigError
from cuvis_ai.plain_types import misfit

_OTHER_NAMES = {"32-true": "32", "64-true": "64", "reduce_on_plateau": "plateau"}
"""Lightning's and torch's names of what has a shorter one here."""


def unknown_key(where: str, key: object, known: Iterable[str]) -> str:
    """Return the message on an unknown key of a configuration: with the nearest one, or all."""
    names = list(known)
    close = difflib.get_close_matches(str(key), names, n=1)
    hint = f"Did you mean `{close[0]}`?" if close else f"Known keys: {', '.join(names) or 'none'}."
    return f"`{where}{key}`: unknown key. {hint}"


class Rule(NamedTuple):
    """What a setting has to be, in words and as a test."""

    expected: str
    holds: Callable[[Any], bool]


def number(expected: str, allowed: Callable[[float], bool]) -> Rule:
    """Return the rule: a number for which `allowed` holds."""
    return Rule(
        f"a number {expected}",
        lambda x: isinstance(x, int | float) and not isinstance(x, bool) and allowed(x),
    )


def integer(least: int) -> Rule:
    """Return the rule: an integer of at least that."""
    return Rule(
        f"an integer, {least} or more",
        lambda x: isinstance(x, int) and not isinstance(x, bool) and x >= least,
    )


def one_of(choices: tuple[str, ...]) -> Rule:
    """Return the rule: one of the choices."""
    return Rule(f"one of {', '.join(choices)}", lambda x: x in choices)


def a(kind: type[Any]) -> Rule:
    """Return the rule: an instance of a class."""
    return Rule(f"a {kind.__name__}", lambda x: isinstance(x, kind))


def optional(rule: Rule) -> Rule:
    """Return the rule: what a rule says, or None."""
    return Rule(rule.expected, lambda x: x is None or rule.holds(x))


def check(config: Any, **rules: Rule) -> None:
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


def limit(*, zero: bool) -> Rule:
    """Return the rule of Lightning's limits: a number of batches, or a share of them."""
    return Rule(
        "a number of batches, 0 or more, or a share of them from 0 to 1.0"
        if zero
        else "a number of batches, 1 or more, or a share of them above 0 to 1.0",
        lambda x: (
            (integer(0 if zero else 1).holds(x) or (isinstance(x, float) and 0 <= x <= 1)) and (zero or x > 0)
        ),
    )


def check_extra(extra: Mapping[str, Any], named: Collection[str]) -> None:
    """Raise a `ConfigError` for names that Lightning's `Trainer` does not take, or that have a field."""
    from lightning.pytorch import Trainer  # heavy: needed where something extra is given

    known = [name for name in inspect.signature(Trainer).parameters if name not in named]
    problems = [
        f"TrainerConfig: `extra`: `{name}` has a field of its own. Write {name}={value!r} beside `extra`."
        if name in named
        else f"TrainerConfig: {unknown_key('extra.', name, known)}"
        for name, value in extra.items()
        if name not in known
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def shorten(config: Any, name: str) -> None:
    """Give a frozen setting the short name of its value."""
    value = getattr(config, name)
    if isinstance(value, str) and value in _OTHER_NAMES:
        object.__setattr__(config, name, _OTHER_NAMES[value])


def of_mapping(cls: type[Any], settings: Mapping[str, Any], path: str) -> Any:
    """Return the config of a class that nested mappings describe; problems are raised together."""
    known = {f.name: f.default_factory for f in fields(cls)}
    problems, values = [], dict(settings)
    for key, value in settings.items():
        if key not in known:
            problems.append(unknown_key(f"{path}.", key, known))
        elif is_dataclass(nested := known[key]) and isinstance(value, Mapping):
            try:
                values[key] = of_mapping(nested, value, f"{path}.{key}")
            except ConfigError as err:
                problems.append(str(err))
    if problems:
        raise ConfigError("\n".join(problems))
    return cls(**values)
