"""Two processes on two cores (DDP, a thread each) beside one process with one thread.

Timed are the statistical phase and the epochs but the first, inside the first process, some 20 s each with
one process; starting processes is not, nor what Lightning loads and sets up once. An epoch has each cube of A
80 times, in steps of 4 cubes a process; in each step the processes exchange gradients.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from harness import Comparison, main

EPOCHS, TIMES = 3, 80
RANKS = "BENCHMARK_RANKS"
"""Set in a process that trains: how many there are."""


def trained_by(ranks: int, what: str) -> Callable[[], Callable[[], object]]:
    """Return what trains in fresh processes and says how long a part of it took."""

    def run() -> float:
        environment = {**os.environ, RANKS: str(ranks), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(Path(__file__))],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{ranks} processes ended with {done.returncode}:\n{done.stderr[-4000:]}")
        seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return seconds[what]

    return lambda: run


def train(ranks: int) -> None:
    """Fit and train on A; the first process prints the seconds of both phases."""
    from gradient_step import ScoreEnergy
    from work import Clock, InMemory, chain, loader_of, pixels_a

    from cuvis_ai.training.config import TrainerConfig, TrainingConfig

    clock = Clock()
    graph = chain(trainable=True)
    graph.add_leaf_node(ScoreEnergy(), parent="trainable_pca")
    settings = TrainerConfig(
        max_epochs=EPOCHS, enable_progress_bar=False, accelerator="cpu", devices=ranks,
        strategy="ddp" if ranks > 1 else "auto", callbacks=[clock],
    )  # fmt: skip
    trainer = graph.train(InMemory(loader_of(pixels_a(), times=TIMES)), TrainingConfig(trainer=settings))
    if trainer.is_global_zero:
        print(json.dumps(clock.seconds), flush=True)


ALTERNATIVES = {
    f"{what}, {count}": trained_by(ranks, what)
    for what in ("statistics", "epochs")
    for ranks, count in ((2, "two processes"), (1, "one process"))
}

COMPARISONS = [
    Comparison(
        claim=f"{what}: two processes",
        ours=f"{what}, two processes",
        peer=f"{what}, one process",
        at_most=1 / 1.7,
    )
    for what in ("statistics", "epochs")
]

if __name__ == "__main__":
    if RANKS in os.environ:
        train(int(os.environ[RANKS]))
    else:
        main(ALTERNATIVES, COMPARISONS, rounds=2)
