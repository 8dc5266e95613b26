"""Values of environment variables in a configuration: used, but written nowhere.

`${oc.env:NAME}` may be a password. What a run leaves holds the expression in its place, unless the value is a
path of data, without which the record would not say what was trained on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from cuvis_ai.errors import ConfigError

_RESOLVER = "oc.env"
_DATA = "datamodule"


def resolved(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain values, interpolations put in.

    Raises:
        ConfigError: one of them cannot be.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (OmegaConfBaseException, ValueError, TypeError, RecursionError) as err:
        raise ConfigError(f"configuration: expected interpolations that can be resolved, got: {err}") from err
    return {str(key): value for key, value in cast("dict[Any, Any]", plain).items()}


def without_environment(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain values, environment variables as expressions but for paths of data."""
    values = resolved(config)
    with _environment_as_expressions():
        return cast("dict[str, Any]", _written(values, config, None, ()))


def texts_withheld(config: DictConfig) -> dict[str, str]:
    """Return the texts that come from the environment, and what is to be written for each."""
    return dict(_pairs(resolved(config), without_environment(config)))


@contextmanager
def _environment_as_expressions() -> Iterator[None]:
    def expression(name: str, *default: Any) -> str:
        return f"${{{_RESOLVER}:{','.join(map(str, (name, *default)))}}}"

    OmegaConf.register_new_resolver(_RESOLVER, expression, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver(_RESOLVER, oc.env, replace=True)


def _written(value: Any, expressed: Any, raw: Any, place: tuple[str, ...]) -> Any:
    """Return values, but what was written for them where they come from the environment and are no data.

    Args:
        value: with environment variables put in.
        expressed: the same with expressions for them; a part of the configuration, if it is nested.
        raw: as it was written.
        place: the keys that lead to it.
    """
    if OmegaConf.is_config(expressed):
        written: Any = OmegaConf.to_container(expressed, resolve=False)
        if isinstance(value, dict):
            return {k: _written(v, _at(expressed, k), written[k], (*place, str(k))) for k, v in value.items()}
        return [_written(v, _at(expressed, i), written[i], place) for i, v in enumerate(value)]
    is_data = place[:1] == (_DATA,) and isinstance(value, str) and _exists(value)
    return value if is_data or value == expressed else raw


def _at(node: Any, key: Any) -> Any:
    try:
        return node[key]
    except (
        OmegaConfBaseException,
        ValueError,
        TypeError,
    ):  # of a resolver that takes no expression
        return None


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _pairs(value: Any, written: Any) -> Iterator[tuple[str, str]]:
    """Yield texts that differ, with what is written for them."""
    if isinstance(value, dict) and isinstance(written, dict):
        for key in value:
            yield from _pairs(value[key], written[key])
    elif isinstance(value, list) and isinstance(written, list):
        for a, b in zip(value, written, strict=True):
            yield from _pairs(a, b)
    elif value != written and isinstance(value, str):
        yield value, written
