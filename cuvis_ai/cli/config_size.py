"""How large a configuration is with its aliases and interpolations put in: small files can say gigabytes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cuvis_ai.errors import ConfigError

MOST_BYTES = 1 << 20
"""Bytes of a file."""
MOST_VALUES = 100_000
"""Values in a file, aliases counted where they are used."""
MOST_CHARACTERS = 10_000_000
"""Characters and values of a configuration, interpolations counted as what they stand for."""

_REFERENCE = re.compile(r"\.*[A-Za-z_][\w.\[\]-]*")


def check_yaml(path: str) -> None:
    """Raise a `ConfigError` for a YAML file that is large, or becomes large by its aliases."""
    n_bytes = Path(path).stat().st_size
    if n_bytes > MOST_BYTES:
        raise ConfigError(
            f"{path}: expected at most {MOST_BYTES} bytes, got {n_bytes}. Is it a configuration?"
        )
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = 1  # an alias to what it lies in
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            items = (
                node.value if isinstance(node, yaml.SequenceNode) else [one for pair in pairs for one in pair]
            )
            sizes[id(node)] = 1 + sum(map(size, items))
        return sizes[id(node)]

    with Path(path).open(encoding="utf-8") as file:
        root = yaml.compose(file, Loader=yaml.SafeLoader)
    if root is not None and size(root) > MOST_VALUES:
        raise ConfigError(
            f"{path}: expected at most {MOST_VALUES} values, got {size(root)} with aliases. Write it shorter."
        )


def check_expansion(plain: Mapping[Any, Any]) -> None:
    """Raise a `ConfigError` for a configuration that becomes large by its interpolations.

    Args:
        plain: the configuration, uninterpolated. Each word that is a key, in a text with an interpolation,
            counts as what stands there: never less than what will be put in.
    """
    found = _Sizes(plain).size(())
    if found > MOST_CHARACTERS:
        raise ConfigError(
            f"configuration: expected at most {MOST_CHARACTERS} characters, got {found} once interpolated. "
            "Interpolate less."
        )


class _Sizes:
    """The sizes of a configuration's values.

    Args:
        root: the configuration.
    """

    def __init__(self, root: Mapping[Any, Any]) -> None:
        self.root = root
        self.known: dict[tuple[str, ...], int] = {}

    def size(self, place: tuple[str, ...]) -> int:
        """Characters and values at a place."""
        if place not in self.known:
            self.known[place] = 0  # a circle, which OmegaConf refuses
            value = self._at(place)[1]
            below = self._keys(value)
            if isinstance(value, str) and "${" in value:
                targets = (self._target(place, match[0]) for match in _REFERENCE.finditer(value))
                n = len(value) + sum(self.size(target) for target in targets if target)
            else:
                n = len(value) if isinstance(value, str) else 0
            self.known[place] = 1 + n + sum(self.size((*place, key)) for key in below)
        return self.known[place]

    def _keys(self, value: Any) -> list[str]:
        if isinstance(value, Mapping):
            return [str(key) for key in value]
        return [str(i) for i in range(len(value))] if isinstance(value, list) else []

    def _target(self, place: tuple[str, ...], reference: str) -> tuple[str, ...]:
        """The place that a reference names, or the interpolation at which its way ends; () if nowhere."""
        dots = len(reference) - len(reference.lstrip("."))
        base = place[: max(len(place) - dots, 0)] if dots else ()
        wanted = (*base, *(part for part in re.split(r"[.\[\]]+", reference) if part))
        reached, value = self._at(wanted)
        return reached if reached == wanted or (isinstance(value, str) and "${" in value) else ()

    def _at(self, place: tuple[str, ...]) -> tuple[tuple[str, ...], Any]:
        """How far a place exists, and what stands there."""
        value: Any = self.root
        for i, key in enumerate(place):
            if isinstance(value, Mapping):
                by_name = {str(one): one for one in value}
                if key not in by_name:
                    return place[:i], value
                value = value[by_name[key]]
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                return place[:i], value
        return place, value
