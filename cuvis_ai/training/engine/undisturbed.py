"""The state of random number generators, and evaluations between steps that leave no trace in it."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


def random_state() -> dict[str, Any]:
    """Return the state of all random number generators, as values that a checkpoint can hold."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set all random number generators."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():  # else the run goes on elsewhere
        torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Let a module be evaluated, then set modes and random numbers to what they were."""
    state, modes = random_state(), {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
        restore_random_state(state)
