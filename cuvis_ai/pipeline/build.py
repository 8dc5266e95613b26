"""From a configuration, plain nested mappings, to a graph, its data module and its training settings.

Every `_target_` is resolved by `class_path`, so a configuration can name no other code. All
problems are collected and raised at once.
"""

import inspect
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from lightning.pytorch import Callback, LightningDataModule

from cuvis_ai.data.format_search import allow_formats
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.leaf import Leaf
from cuvis_ai.node.base import Node
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.saving.class_path import CODE_KEYS, resolve
from cuvis_ai.pipeline.saving.wrapped_module import ARGUMENTS, MODULE, made
from cuvis_ai.plain_types import argument_misfits, misfit
from cuvis_ai.plugins import MONITORS, NODES
from cuvis_ai.training.config import TrainingConfig
from cuvis_ai.training.monitors import Monitor
from cuvis_ai.training.setting_rules import unknown_key

logger = logging.getLogger(__name__)

LEAF_KEYS = ("loss_leaves", "metric_leaves", "visualization_leaves")
PARTS = ("graph", "nodes", *LEAF_KEYS, "monitoring", "datamodule", "training")
_SETTINGS: dict[str, Any] = {
    "allow": Sequence[str] | None,
    **dict.fromkeys(("output_dir", "save_to", "ckpt_path"), StrPath | None),
}
KNOWN_KEYS = (*PARTS, *_SETTINGS)
_SECRET = re.compile(r"(^|_)(key|token|password|secret|credentials?)$", re.IGNORECASE)
_CALLBACKS = ("lightning.pytorch.callbacks",)
_OFFERED: dict[type[Any], str] = {Node: NODES, Monitor: MONITORS}
"""Where plug-ins offer classes of these kinds by name."""


class Built(NamedTuple):
    """What a configuration describes."""

    graph: Graph
    datamodule: LightningDataModule
    training: TrainingConfig


def build(config: Mapping[str, Any], allow: Sequence[str] = ()) -> Built:
    """Return graph, data module and training settings.

    Args:
        config: keys `graph`, `nodes`, `loss_leaves`, `metric_leaves`, `visualization_leaves`,
            `monitoring`, `datamodule`, `training`; `output_dir`, `save_to` and `ckpt_path` are for the
            caller.
        allow: packages besides `cuvis_ai` whose classes may be named, plug-ins by their names, and whose
            formats are read; it never counts in a configuration,
            which would allow itself what it likes.

    Raises:
        ConfigError: lists every problem found.

    Example:
        >>> built = build(
        ...     {
        ...         "graph": {"name": "rx"},
        ...         "nodes": {"rx": {"_target_": "cuvis_ai.anomaly.rx_detector.RXGlobal"}},
        ...         "datamodule": {"_target_": "cuvis_ai.data.cube_folder.CubeFolder", "data_dir": "Lentils"},
        ...     }
        ... )
        >>> list(built.graph.nodes), type(built.datamodule).__name__
        (['rx'], 'CubeFolder')
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f"configuration: expected a mapping with `nodes` and `datamodule`, got {config!r}.")
    problems = [unknown_key("", key, KNOWN_KEYS) for key in config if key not in KNOWN_KEYS]
    problems += filter(None, (misfit(config.get(key), kind, f"`{key}`") for key, kind in _SETTINGS.items()))
    parts = {key: _part(config, key, problems) for key in PARTS}
    name = parts["graph"].get("name", "graph")
    problems += filter(None, [misfit(name, str, "`graph.name`")])
    problems += [unknown_key("graph.", key, ("name",)) for key in parts["graph"] if key != "name"]
    problems += [] if parts["nodes"] else ["`nodes`: missing."]
    problems += _code_keys(config)
    if of_allow := _problems_of_allow(config.get("allow"), allow):
        problems, allow = [*problems, *of_allow], ()
    with _collecting(problems):
        allow_formats(allow)
    graph = Graph(str(name))
    complete = _add_nodes(graph, parts["nodes"], allow, problems)
    for group in LEAF_KEYS:
        _add_leaves(graph, group, parts[group], allow, problems, attach=complete)
    _add_monitors(graph, parts["monitoring"], allow, problems)
    datamodule = None
    with _collecting(problems, "datamodule"):
        datamodule = _made("datamodule", parts["datamodule"], LightningDataModule, allow)
    training = _training(parts["training"], allow, problems)
    if problems or datamodule is None or training is None:
        raise ConfigError("\n".join(problems))
    return Built(graph, datamodule, training)


def _problems_of_allow(written: object, allow: object) -> list[str]:
    """Return what is wrong with `allow` in the configuration and from the caller."""
    found = filter(None, [misfit(allow, Sequence[str], "`allow`")])
    if not written:
        return list(found)
    return [
        *found,
        f"`allow`: expected on the command line or in Python, got {written!r} in the configuration. "
        "If you trust these packages, run with 'allow=[package]' or `build(config, allow=[…])`.",
    ]


def _code_keys(value: object, place: str = "") -> list[str]:
    """Return where Hydra's other ways of making an object are asked for."""
    below = value.items() if isinstance(value, Mapping) else ()
    found = []
    for key, one in enumerate(value) if isinstance(value, list | tuple) else below:
        at = f"{place}.{key}".lstrip(".")
        found += [f"`{at}`: Hydra's `{key}` is not used here. Remove it."] if key in CODE_KEYS else []
        found += _code_keys(one, at)
    return found


def _part(config: Mapping[str, Any], key: str, problems: list[str]) -> Mapping[str, Any]:
    """Return one part of a configuration, empty where it is missing."""
    part = config.get(key)
    if isinstance(part, Mapping):
        problems += [
            f"`{key}`: expected names as keys, got {name!r}." for name in part if type(name) is not str
        ]
        return {name: value for name, value in part.items() if type(name) is str}
    if part is not None:
        problems.append(f"`{key}`: expected a mapping, got {part!r}.")
    return {}


@contextmanager
def _collecting(problems: list[str], where: str = "") -> Iterator[None]:
    """Collect what is raised inside, with its place in front unless it is there already."""
    try:
        yield
    except (ConfigError, GraphError) as err:
        text = str(err)
        problems.append(text if not where or text.startswith(f"`{where}") else f"`{where}`: {text}")


def _add_nodes(graph: Graph, nodes: Mapping[str, Any], allow: Sequence[str], problems: list[str]) -> bool:
    """Add nodes in the order given, one without `parent` after the one before; return whether all fit."""
    before, found = None, len(problems)
    for name, description in nodes.items():
        with _collecting(problems, f"nodes.{name}"):
            arguments, parent = _without(description, "parent", before, str | Sequence[str] | None)
            node = _made(f"nodes.{name}", arguments, Node, allow)
            # Downstream of a node that is missing, arguments can still be judged, places cannot.
            if len(problems) == found:
                graph.add_node(node, parent, name=str(name))
        before = name
    return len(problems) == found


def _add_leaves(
    graph: Graph,
    group: str,
    leaves: Mapping[str, Any],
    allow: Sequence[str],
    problems: list[str],
    *,
    attach: bool,
) -> None:
    """Add the leaves of a group; without `attach`, only see whether they can be made."""
    for name, description in leaves.items():
        where = f"{group}.{name}"
        with _collecting(problems, where):
            arguments, enabled = _without(description, "enabled", True, bool)
            if enabled:
                arguments, parent = _without(arguments, "parent", None, str | None)
                leaf = _made(where, arguments, Leaf, allow)
                if attach:
                    graph.add_leaf_node(leaf, parent or _natural_parent(graph, leaf, where), name=str(name))


def _natural_parent(graph: Graph, leaf: Leaf, where: str) -> str:
    """Return the node that a leaf can be attached to; of several in one chain the most downstream one."""
    candidates = graph.possible_parents(leaf)
    last = candidates[-1] if candidates else ""
    ancestors = graph.topology.ancestors((last,)) if candidates else set()
    if not candidates or not ancestors.issuperset(candidates[:-1]):
        raise ConfigError(
            f"expected one node that {type(leaf).__name__} can be attached to, or several of one chain, got "
            f"{', '.join(candidates) or 'none'}. Add `parent: <name of a node>`."
        )
    if len(candidates) > 1:
        logger.info("`%s`: attached to `%s`, the last of %s", where, last, ", ".join(candidates))
    return last


def _add_monitors(
    graph: Graph, monitors: Mapping[str, Any], allow: Sequence[str], problems: list[str]
) -> None:
    for name, description in monitors.items():
        where = f"monitoring.{name}"
        with _collecting(problems, where):
            arguments, enabled = _without(description, "enabled", True, bool)
            if enabled:
                graph.register_monitor(_made(where, arguments, Monitor, allow))


def _training(
    settings: Mapping[str, Any], allow: Sequence[str], problems: list[str]
) -> TrainingConfig | None:
    """Return the settings with their callbacks; collect all that is wrong with either."""
    trainer: Any = {} if settings.get("trainer") is None else settings["trainer"]
    described, callbacks = None, []
    with _collecting(problems, "training.trainer"):
        if isinstance(trainer, Mapping):
            trainer, described = _without(trainer, "callbacks", None, Sequence[Any] | None)
    for i, one in enumerate(described or ()):
        where = f"training.trainer.callbacks[{i}]"
        with _collecting(problems, where):
            callbacks.append(_made(where, one, Callback, (*_CALLBACKS, *allow)))
    with _collecting(problems):
        config = TrainingConfig.from_mapping({**settings, "trainer": trainer})
        return replace(config, trainer=replace(config.trainer, callbacks=callbacks))
    return None


def _made(where: str, description: Any, base: type[Any], allow: Sequence[str]) -> Any:
    """Return an instance of the class that `_target_` names."""
    arguments, target = _without(description, "_target_", None, Any)
    if target is None:
        raise ConfigError("expected a mapping with `_target_: package.module.Class`.")
    cls = resolve(target, (base,), allow, group=_OFFERED.get(base))
    known = inspect.signature(cls).parameters
    problems = [_unknown(f"{where}.", key, known) for key in arguments if key not in known]
    if not problems:
        arguments = _with_module(where, cls, arguments, allow)
        problems = argument_misfits(arguments, cls, f"`{where}`", finite=issubclass(cls, Node | Leaf))
    if problems:
        raise ConfigError("\n".join(problems))
    try:
        return cls(**arguments)
    except (ConfigError, GraphError):
        raise
    except Exception as err:  # a constructor that is given what a file says may end in any error
        raise ConfigError(f"{cls.__name__}: {err}") from err


def _with_module(
    where: str, cls: type[Any], arguments: dict[str, Any], allow: Sequence[str]
) -> dict[str, Any]:
    """Return the arguments of a node, with the module that `module: {_target_: …}` describes."""
    if not isinstance(arguments.get(MODULE), Mapping):
        return dict(made(cls, arguments, allow, where))
    own, target = _without(arguments[MODULE], "_target_", None, str)
    return dict(made(cls, {**arguments, MODULE: target, ARGUMENTS: own}, allow, where))


def _unknown(where: str, key: str, known: Iterable[str]) -> str:
    """Return the message on an unknown argument; a tracker's key is no argument of any class."""
    if not _SECRET.search(key):
        return unknown_key(where, key, known)
    return (
        f"`{where}{key}`: expected no secret in a configuration, which is saved beside the results. Remove "
        "it and set the tracker's own variable before the command, such as WANDB_API_KEY."
    )


def _without(description: Any, key: str, default: Any, kind: Any) -> tuple[dict[str, Any], Any]:
    """Return a description without one of its keys, and what stood there, which is to be of a type."""
    if not isinstance(description, Mapping):
        raise ConfigError(f"expected a mapping with `_target_`, got {description!r}.")
    rest = {str(k): v for k, v in description.items() if k != key}
    value = description.get(key, default)
    if problem := misfit(value, kind, f"`{key}`"):
        raise ConfigError(problem)
    return rest, value
