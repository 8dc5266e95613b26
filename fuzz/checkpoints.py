"""A run from an untrusted checkpoint ends as the run that it is of, or in one documented error, soon.

Run with `python -m fuzz.checkpoints`. Makes mutated checkpoints, decided by the seed, and lets a run go on
from each in child processes. It has to end in a `ConfigError` or a `GraphError`, or with the weights of the
run that was left alone; where a mutation has put other numbers of the right form into the checkpoint, with
finite weights. Reported are the outcomes, the most CPU time and the greatest growth of memory; what breaks
the promise (another exception, other weights, more than 2 CPU seconds or 200 MB, a file removed outside of
the run's folder, a dead process) is written to a folder, and the program ends with 1.
"""

import os
import shutil
import sys
import warnings
from functools import partial
from pathlib import Path

import torch
from hypothesis import strategies as st

from cuvis_ai.errors import ConfigError, GraphError
from fuzz.checkpoint_mutations import MUTATIONS, PRECIOUS, unpickled
from fuzz.measuring import (
    CHUNK,
    Outcome,
    Promise,
    command,
    each_example,
    in_children,
    outcome_of,
    prepare_child,
)

EPOCHS = 3
Weights = dict[str, torch.Tensor]

_NOT_OF_THE_RUN = ("callbacks", "hyper_parameters", "pytorch-lightning_version")
_PROMISE = Promise((ConfigError, GraphError), lambda err: None, megabytes=200.0)


def trained(folder: Path, epochs: int, ckpt_path: Path | None = None) -> Weights:
    """Train a small detector, and return its weights; the checkpoints are in `kept`."""
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

    from cuvis_ai.training.losses import AnomalyBCEWithLogits, OrthogonalityLoss
    from tests.graphs import data, scoring, settings

    graph = scoring(stats="follow")
    graph.add_leaf_node(OrthogonalityLoss(), parent="pca")
    graph.add_leaf_node(AnomalyBCEWithLogits(), parent="head")
    watched = "train/loss/total"
    callbacks = [
        ModelCheckpoint(folder / "kept", filename="{epoch}", monitor=watched, enable_version_counter=False),
        EarlyStopping(watched, patience=9),
    ]
    graph.train(data(), settings(epochs, callbacks=callbacks), ckpt_path=ckpt_path)
    return graph.state_dict()


def sound(folder: Path) -> bytes:
    """Return the checkpoint of a run's first two epochs."""
    trained(folder, EPOCHS - 1)
    [path] = (folder / "kept").glob("*.ckpt")
    return path.read_bytes()


def _differing(
    folder: Path, path: Path, weights: Weights, expected: dict[str, str], found: Weights
) -> str | None:
    """Return what is wrong with the end of a run."""
    if not (folder / PRECIOUS / "thesis.txt").exists():
        return "a file outside of the run's folder is gone"
    if same(found, weights):
        return None
    if not all(bool(tensor.isfinite().all()) for tensor in found.values()):
        return "ended with weights that are not finite"
    held = unpickled(path.read_bytes())
    differs = any(repr(held.get(key)) != text for key, text in expected.items())
    return None if differs else "the numbers of the run left alone, but other weights"


def same(one: Weights, other: Weights) -> bool:
    """Return whether two graphs have the same weights, bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _chunk(kind: str, count: int, seed: int, content: bytes, folder: Path) -> list[Outcome]:
    """Go on from mutated checkpoints, in a process of its own."""
    own = folder / f"run-{kind}-{seed}"
    (own / PRECIOUS).mkdir(parents=True)
    (own / PRECIOUS / "thesis.txt").write_text("years of work")
    path, outcomes = own / "current.ckpt", list[Outcome]()
    torch.set_printoptions(threshold=10**9, precision=17)
    held = {key: repr(value) for key, value in unpickled(content).items() if key not in _NOT_OF_THE_RUN}
    path.write_bytes(content)
    weights = trained(own, EPOCHS, path)

    def take(mutated: bytes) -> None:
        shutil.rmtree(own / "kept", ignore_errors=True)
        path.write_bytes(mutated)
        ends: list[Weights] = []
        run = partial(_run, own, path, ends)
        outcome = outcome_of(kind, run, partial(_differing, own, path, weights, held), _PROMISE)
        if ends:
            equal = same(ends[0], weights)
            outcome = outcome._replace(name="as left alone" if equal else "from other numbers")
        outcomes.append(outcome)
        if outcome.problem:
            (folder / f"case-{kind}-{seed}-{len(outcomes)}.ckpt").write_bytes(mutated)

    each_example(seed, count, st.just(content).flatmap(lambda c: MUTATIONS[kind][1](c, str(own))), take)
    shutil.rmtree(own)  # one that is left tells what a child died of
    return outcomes


def _run(folder: Path, path: Path, ends: list[Weights]) -> Weights:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's
        ends.append(trained(folder, EPOCHS, path))
    return ends[0]


def _start(content: bytes, folder: Path) -> None:
    torch.set_num_threads(1)
    prepare_child(partial(_go_on_from_a_sound_one, content, folder / f"sound-{os.getpid()}"))


def _go_on_from_a_sound_one(content: bytes, folder: Path) -> None:
    """Raise a `ValueError` unless a run ends as one that was left alone."""
    (folder / "whole").mkdir(parents=True)
    (folder / "sound.ckpt").write_bytes(content)
    if not same(trained(folder, EPOCHS, folder / "sound.ckpt"), trained(folder / "whole", EPOCHS)):
        raise ValueError("a run from the sound checkpoint ends with other weights than one left alone")
    shutil.rmtree(folder)


def fuzzed(count: int, seed: int, workers: int, folder: Path) -> list[Outcome]:
    """Go on from `count` mutated checkpoints; offending ones are left in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = sound(folder / "sound")
    shutil.rmtree(folder / "sound")
    calls = [
        (kind, min(CHUNK, total - begun), 1000 * seed + begun // CHUNK, content, folder)
        for kind, (share, _) in MUTATIONS.items()
        for total in [max(1, count * share // 100)]
        for begun in range(0, total, CHUNK)
    ]
    return in_children(_chunk, calls, _start, (content, folder), workers)


if __name__ == "__main__":
    sys.exit(command(__doc__, "checkpoints", 5000, fuzzed))
