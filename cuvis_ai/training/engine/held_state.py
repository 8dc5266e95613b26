"""What a checkpoint holds besides weights and moments: the forms of its parts."""

import math
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from cuvis_ai.errors import ConfigError
from cuvis_ai.leaf import PooledLoss
from cuvis_ai.training.engine.checkpoint_file import OF_A_CHANGED_FORM
from cuvis_ai.training.engine.epoch import Losses
from cuvis_ai.training.engine.undisturbed import random_state, restore_random_state
from cuvis_ai.training.engine.verdict import STRIPS

_WHOLE_STATE_OF_NUMPY = 624


def check_held_state(held: Any, losses: Losses) -> None:
    """Raise what comes of it if the project's own part of a checkpoint has another form than it is given."""
    _require(isinstance(held, dict) and type(held["stopped"]) is bool, "stopped: expected true or false")
    best = held["best"]
    fits = best is None or (_is_pair(best) and _is_number(best[0]) and _is_count(best[1]))
    _require(fits, "best: expected a loss and its epoch")
    scheduler = held["scheduler"]
    if scheduler is not None:
        _require(_is_number(scheduler["best"]), "scheduler.best: expected a number")
        for key in ("num_bad_epochs", "cooldown_counter", "last_epoch"):
            _require(_is_count(scheduler[key]), f"scheduler.{key}: expected a count")
    _require(held["sums"].keys() == losses.by_name.keys(), "sums: expected those of this graph's losses")
    for name, sums in held["sums"].items():
        fits = isinstance(sums, Tensor) and sums.ndim == 1 and sums.is_floating_point()
        declared = isinstance(losses.by_name[name].leaf, PooledLoss)
        fits = fits and (declared or len(sums) == 2) and bool(sums.isfinite().all())
        _require(fits, f"sums: expected {'numbers' if declared else 'two numbers'} for {name}")
    _try_random_state(held["random"])


def _try_random_state(state: Mapping[str, Any]) -> None:
    _, keys, position, _, _ = state["numpy"]
    # NumPy takes any position, and reads there.
    fits = keys.shape == (_WHOLE_STATE_OF_NUMPY,) and _is_count(position) and position <= len(keys)
    _require(fits, "random: expected a state of NumPy's generator")
    now = random_state()
    try:
        restore_random_state(state)
    finally:
        restore_random_state(now)


def check_progress(checkpoint: Mapping[str, Any], trainer: Trainer) -> None:
    """Raise what comes of it if the state of loops or callbacks has another form than this trainer's."""
    loops = checkpoint["loops"]["fit_loop"]
    _compare(loops, trainer.fit_loop.state_dict(), "loops")
    step, now = checkpoint["global_step"], loops["epoch_progress"]["current"]
    taken = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]
    _require(_is_count(step) and step == taken["completed"], "global_step: expected the steps of the loops")
    _require(checkpoint["epoch"] in (now["processed"], now["processed"] - 1), "epoch: expected the loops'")
    states = checkpoint.get("callbacks", {})
    _require(isinstance(states, dict), "callbacks: expected their states by name")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by a connector
        if isinstance(callback, EarlyStopping) and callback.state_key in states:
            _compare(states[callback.state_key], callback.state_dict(), callback.state_key)


def check_verdict(state: Any, module: LightningModule) -> None:
    """Raise a `ConfigError` unless what training is judged by is of these parameters; None for nothing."""
    if state is None:
        return
    like = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    try:
        if state["before"]:
            _compare(state["before"], like, "Verdict.before")
        for pair in state["rankings"] or ():
            _require(_is_pair(pair) and all(map(_is_number, pair)), "Verdict.rankings: expected numbers")
        fits = state["strip"] is None or tuple(state["strip"]) in STRIPS
        _require(fits, "Verdict.strip: expected a margin")
    except OF_A_CHANGED_FORM as err:
        raise ConfigError(f"ckpt_path: expected a checkpoint as it was written: {err!s:.300}") from err


def _compare(held: Any, own: Any, where: str) -> None:
    """Raise a `ValueError` unless a state has the form of another: names, kinds of values, shapes."""
    if isinstance(own, Mapping):
        open_ended = where.endswith("state_dict")  # loaders with a state add it there
        fits = isinstance(held, dict) and (
            own.keys() <= held.keys() if open_ended else own.keys() == held.keys()
        )
        _require(fits, f"{where}: expected {', '.join(map(str, own)) or 'nothing'}")
        for key, value in own.items():
            _compare(held[key], value, f"{where}.{key}")
    elif isinstance(own, bool):
        _require(type(held) is bool, f"{where}: expected true or false")
    elif isinstance(own, int):
        _require(_is_count(held), f"{where}: expected a count")
    elif isinstance(own, Tensor):
        _require(isinstance(held, Tensor) and held.shape == own.shape, f"{where}: expected a tensor")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
