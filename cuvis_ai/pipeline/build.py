"""From a configuration, plain nested mappings, to a graph, its data module and its training settings.

Every `_target_` is resolved by `class_path`, so a configuration can name no other code. All
problems are collected and raised at once.

May import: everything below it, and Lightning.
"""

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from lightning.pytorch import Callback, LightningDataModule

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.node.base import Node
from cuvis_ai.pipeline.class_path import resolve
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainingConfig
from cuvis_ai.training.leaf import Leaf
from cuvis_ai.training.monitors import Monitor

LEAF_KEYS = ("loss_leaves", "metric_leaves", "visualization_leaves")
KNOWN_KEYS = (
    "graph",
    "nodes",
    *LEAF_KEYS,
    "monitoring",
    "datamodule",
    "training",
    "allow",
    "output_dir",
    "save_to",
)
_CALLBACKS = ("lightning.pytorch.callbacks",)


class Built(NamedTuple):
    """What a configuration describes."""

    graph: Graph
    datamodule: LightningDataModule
    training: TrainingConfig


def build(config: Mapping[str, Any]) -> Built:
    """Return graph, data module and training settings.

    Args:
        config: keys `graph`, `nodes`, `loss_leaves`, `metric_leaves`, `visualization_leaves`,
            `monitoring`, `datamodule`, `training`; `allow` lists packages besides `cuvis_ai` whose
            classes may be named; `output_dir` and `save_to` are for the caller.

    Raises:
        ConfigError: lists every problem found.
    """
    problems = [_unknown("", key, KNOWN_KEYS) for key in config if key not in KNOWN_KEYS]
    problems += [] if config.get("nodes") else ["`nodes`: missing."]
    allow = tuple(config.get("allow") or ())
    graph = Graph((config.get("graph") or {}).get("name", "graph"))
    if _add_nodes(graph, config.get("nodes") or {}, allow, problems):
        # Without all nodes, leaves would fail for that reason alone.
        _add_leaves(graph, config, allow, problems)
    datamodule = training = None
    with _collecting(problems):
        _add_monitors(graph, config.get("monitoring") or {}, allow)
    with _collecting(problems):
        datamodule = _made("datamodule", config.get("datamodule") or {}, LightningDataModule, allow)
    with _collecting(problems):
        training = _training(config.get("training") or {}, allow)
    if problems or datamodule is None or training is None:
        raise ConfigError("\n".join(problems))
    return Built(graph, datamodule, training)


@contextmanager
def _collecting(problems: list[str]) -> Iterator[None]:
    """Collect what is raised inside."""
    try:
        yield
    except ConfigError as err:
        problems.append(str(err))


def _add_nodes(graph: Graph, nodes: Mapping[str, Any], allow: Sequence[str], problems: list[str]) -> bool:
    """Add nodes in the order given, one without `parent` behind the one before; return whether all fit."""
    before: str | None = None
    for name, description in nodes.items():
        try:
            description, parent = _without(description, "parent", before)
            graph.add_node(_made(f"nodes.{name}", description, Node, allow), parent, name=name)
        except (ConfigError, GraphError) as err:
            problems.append(_within(f"nodes.{name}", err))
            return False
        before = name
    return True


def _add_leaves(graph: Graph, config: Mapping[str, Any], allow: Sequence[str], problems: list[str]) -> None:
    for group in LEAF_KEYS:
        for name, description in (config.get(group) or {}).items():
            where = f"{group}.{name}"
            try:
                description, enabled = _without(description, "enabled", True)
                if enabled:
                    description, parent = _without(description, "parent", None)
                    leaf = _made(where, description, Leaf, allow)
                    graph.add_leaf_node(leaf, parent or _only_parent(graph, leaf, where), name=name)
            except (ConfigError, GraphError) as err:
                problems.append(_within(where, err))


def _only_parent(graph: Graph, leaf: Leaf, where: str) -> str:
    """Return the one node that the leaf can hang on."""
    candidates = graph.possible_parents(leaf)
    if len(candidates) != 1:
        listed = ", ".join(candidates) or "none"
        raise ConfigError(
            f"`{where}`: expected one node that {type(leaf).__name__} can hang on, got {listed}. "
            f"Add `parent: <name of a node>`."
        )
    return candidates[0]


def _add_monitors(graph: Graph, monitors: Mapping[str, Any], allow: Sequence[str]) -> None:
    for name, description in monitors.items():
        description, enabled = _without(description, "enabled", True)
        if enabled:
            graph.register_monitor(_made(f"monitoring.{name}", description, Monitor, allow))


def _training(settings: Mapping[str, Any], allow: Sequence[str]) -> TrainingConfig:
    trainer = dict(settings.get("trainer") or {})
    described = trainer.pop("callbacks", None) or []
    config = TrainingConfig.from_mapping({**settings, "trainer": trainer})
    callbacks = [
        _made(f"training.trainer.callbacks[{i}]", one, Callback, (*_CALLBACKS, *allow))
        for i, one in enumerate(described)
    ]
    return replace(config, trainer=replace(config.trainer, callbacks=callbacks))


def _made(where: str, description: Any, base: type[Any], allow: Sequence[str]) -> Any:
    """Return an instance of the class that `_target_` names."""
    description, target = _without(description, "_target_", None)
    if target is None:
        raise ConfigError(f"`{where}`: expected a mapping with `_target_: package.module.Class`.")
    try:
        cls = resolve(target, (base,), allow)
        known = [name for name in inspect.signature(cls).parameters if name != "self"]
        if unknown := [_unknown(f"{where}.", key, known) for key in description if key not in known]:
            raise ConfigError("\n".join(unknown))
        return cls(**description)
    except (ConfigError, TypeError, ValueError) as err:
        raise ConfigError(_within(where, err)) from err


def _without(description: Any, key: str, default: Any) -> tuple[dict[str, Any], Any]:
    """Return a description without one of its keys, and what stood there."""
    if not isinstance(description, Mapping):
        raise ConfigError(f"expected a mapping with `_target_`, got {description!r}.")
    rest = {str(k): v for k, v in description.items() if k != key}
    return rest, description.get(key, default)


def _unknown(prefix: str, key: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1)
    hint = f"Did you mean `{close[0]}`?" if close else f"Known: {', '.join(known) or 'none'}."
    return f"`{prefix}{key}`: unknown key. {hint}"


def _within(where: str, err: Exception) -> str:
    """Return the message, with its place in the configuration in front unless it is there already."""
    text = str(err)
    return text if text.startswith(f"`{where}") else f"`{where}`: {text}"
