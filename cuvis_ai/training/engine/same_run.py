"""Whether a run that goes on is the one that a checkpoint is of.

A checkpoint holds its run's description as text: what the graph is, the settings, how data were loaded.
What makes it another graph is refused; settings of the training are taken as they are now, with a
warning; the rest is free, and the log says that the run's end will differ.
"""

import inspect
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from cuvis_ai.errors import ConfigError
from cuvis_ai.leaf import CompositeLoss, Loss
from cuvis_ai.node.base import class_of, hyperparameters
from cuvis_ai.training.config import TrainingConfig
from cuvis_ai.training.engine.batches import length_of
from cuvis_ai.training.engine.parts import Parts

logger = logging.getLogger(__name__)

Description = dict[str, dict[str, str]]

_OF_THE_TRAINING = re.compile(
    r"(optimizer|scheduler)\..*|trainer\.(precision|gradient_clip_val|accumulate_grad_batches"
    r"|check_val_every_n_epoch|val_check_interval|limit_(train|val)_batches|deterministic)"
)
"""Settings that change what a step or an epoch does."""
_SILENT = {"trainer.enable_progress_bar"}
_ABSENT = "none"
_MOST_LINES = 8


def description(parts: Parts, config: TrainingConfig) -> Description:
    """Return what is compared when a run goes on, as text by name."""
    monitors = ", ".join(type(monitor).__name__ for monitor in parts.monitors)
    return {"graph": _of_graph(parts), "settings": {"monitors": monitors, **_nested_text(plain(config))}}


def plain(config: TrainingConfig) -> dict[str, Any]:
    """Return the settings as nested plain values; callbacks and other objects by their class names."""
    trainer = replace(config.trainer, callbacks=[], extra={})
    settings = asdict(replace(config, trainer=trainer, monitor_plugins=[]))
    settings["trainer"]["callbacks"] = [type(c).__name__ for c in config.trainer.callbacks]
    settings["trainer"]["extra"] = {
        name: value if isinstance(value, str | int | float | None) else type(value).__name__
        for name, value in config.trainer.extra.items()
    }
    del settings["monitor_plugins"]  # they are the graph's
    return settings


def loading_of(loader: object) -> dict[str, str]:
    """Return how a loader's batches come, as text by name."""
    found = {name: getattr(loader, name, None) for name in ("batch_size", "num_workers")}
    return {name: repr(value) for name, value in {**found, "batches": length_of(loader)}.items()}


def _of_graph(parts: Parts) -> dict[str, str]:
    """Return nodes and losses with class, parents and arguments; their orders, which parameters have, too."""
    topology = parts.execution.topology
    losses = {n: leaf for n, leaf in parts.leaves.items() if isinstance(leaf, Loss | CompositeLoss)}
    members: list[tuple[str, str, nn.Module, Iterable[str]]] = [
        *(("node", name, node, topology.parents[name]) for name, node in parts.execution.nodes.items()),
        *(("loss", name, loss, (topology.leaves[name],)) for name, loss in losses.items()),
    ]
    found = {"nodes": ", ".join(parts.execution.nodes), "losses": ", ".join(losses)}
    for kind, name, module, parents in members:
        cls = class_of(module)
        found[f"{kind} `{name}`: class"] = f"{cls.__module__}:{cls.__qualname__}"
        found[f"{kind} `{name}`: parents"] = ", ".join(parents)
        for argument, value in hyperparameters(module).items():
            found[f"{kind} `{name}`: {argument}"] = _text(value)
    return found


def defaults_of(parts: Parts) -> dict[str, str]:
    """Return the arguments' defaults under the names that `description` gives them."""
    found = {}
    members: list[tuple[str, str, nn.Module]] = [
        *(("node", name, node) for name, node in parts.execution.nodes.items()),
        *(("loss", name, leaf) for name, leaf in parts.leaves.items()),
    ]
    for kind, name, module in members:
        for argument, parameter in inspect.signature(class_of(module)).parameters.items():
            if parameter.default is not parameter.empty:
                found[f"{kind} `{name}`: {argument}"] = _text(parameter.default)
    return found


def _text(value: object) -> str:
    """Return a value as text that is the same in another process."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return f"{type(value).__module__}:{type(value).__qualname__}"


def _nested_text(settings: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in settings.items():
        nested = value if isinstance(value, Mapping) else {"": value}
        found |= {f"{name}.{key}".rstrip("."): repr(one) for key, one in nested.items()}
    return found


def check_description(run: object, path: Path) -> Description | None:
    """Return the description that a checkpoint holds; None if it holds none, as those of earlier versions.

    Raises:
        ConfigError: it has another form.
    """
    if run is None:
        logger.info(
            "%s does not say of which run it is (an earlier version wrote it): graph, settings and bands are "
            "not compared",
            path,
        )
        return None
    parts = ("graph", "settings", "bands", "loading")
    texts = isinstance(run, dict) and all(
        isinstance(run.get(part), dict)
        and all(isinstance(text, str) for item in run[part].items() for text in item)
        for part in parts
    )
    if not texts or not isinstance(run, dict):
        raise ConfigError(f"ckpt_path: expected a checkpoint of a run, got {str(path)!r}, which is changed.")
    return {part: run[part] for part in parts}


def check_same_run(held: Description, now: Description, defaults: Mapping[str, str]) -> None:
    """Compare the run of a checkpoint with the one that goes on from it.

    Args:
        held: the checkpoint's.
        now: this run's.
        defaults: of arguments, which an earlier version may not have had; settings have theirs.

    Raises:
        ConfigError: the graph is another one; lists all that differs, with both values.
    """
    known = {
        name: text for name, text in defaults.items() if f"{name.partition(': ')[0]}: class" in held["graph"]
    }
    if others := _different({**known, **held["graph"]}, now["graph"]):
        raise ConfigError(
            "ckpt_path: expected a checkpoint of this graph, got one of another:\n"
            + "\n".join(f"  {line}" for line in others[:_MOST_LINES])
            + (f"\n  and {len(others) - _MOST_LINES} more" if len(others) > _MOST_LINES else "")
            + "\nBuild the graph as it was, or train this one without `ckpt_path`."
        )
    settings = {**_nested_text(plain(TrainingConfig())), **held["settings"]}
    changed = _different(settings, now["settings"], _OF_THE_TRAINING.fullmatch)
    if changed:
        fresh = any(line.startswith("optimizer.name:") for line in changed)
        logger.warning(
            "The run goes on with other settings than the checkpoint's%s: %s",
            ", and its optimizer starts without a state" if fresh else "",
            "; ".join(changed),
        )
    log_freely_changed(settings, now["settings"])


def log_freely_changed(held: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Say what else differs, and what comes of it."""

    def free(name: str) -> bool:
        return not _OF_THE_TRAINING.fullmatch(name) and name not in _SILENT

    if changed := _different(held, now, free):
        logger.info("The run will not be bit-equal to one left alone: %s", "; ".join(changed))


def _different(held: Mapping[str, str], now: Mapping[str, str], counts: Any = bool) -> list[str]:
    """Return a line for each text that differs, with both."""
    return [
        f"{name}: {held.get(name, _ABSENT):.90} in the checkpoint, {now.get(name, _ABSENT):.90} now"
        for name in dict.fromkeys([*held, *now])
        if held.get(name) != now.get(name) and counts(name)
    ]
