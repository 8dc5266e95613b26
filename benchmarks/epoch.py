"""An epoch through Lightning, logging included, costs little more than a bare loop of folded steps."""

import tempfile
from collections.abc import Callable

from gradient_step import ScoreEnergy, folded
from harness import Comparison, main
from work import Clock, InMemory, batches_of, chain, fit, pixels_a

from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.monitors import DummyMonitor

EPOCHS = 10
"""Those that are timed, behind a first one."""


def through_lightning() -> Callable[[], object]:
    """`graph.train` on a fitted graph, with a monitor that writes files."""
    batches = batches_of(pixels_a())
    graph = fit(chain(trainable=True), batches)
    graph.add_leaf_node(ScoreEnergy(), parent="trainable_pca")
    graph.register_monitor(DummyMonitor(tempfile.mkdtemp()))

    def run() -> float:
        clock = Clock()
        settings = TrainerConfig(
            max_epochs=EPOCHS + 1, enable_progress_bar=False, accelerator="cpu", callbacks=[clock]
        )
        graph.train(InMemory(batches), TrainingConfig(trainer=settings))
        return clock.seconds["epochs"]

    return run


def bare_loop() -> Callable[[], object]:
    """As many epochs of folded steps by hand."""
    epoch = folded()
    return lambda: [epoch() for _ in range(EPOCHS)]


ALTERNATIVES = {"through Lightning": through_lightning, "bare folded loop": bare_loop}

COMPARISONS = [
    Comparison(
        claim=f"{EPOCHS} epochs with logging", ours="through Lightning", peer="bare folded loop", at_most=1.25
    )
]

if __name__ == "__main__":
    main(ALTERNATIVES, COMPARISONS)
