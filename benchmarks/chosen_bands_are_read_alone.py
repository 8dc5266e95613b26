"""A graph behind a choice of 10 of 200 bands predicts a band-sequential scene in half the time at most.

Both are MinMax → RX; one has a hard choice of bands between, so that `predict` reads these alone. The scene,
400 × 400 × 200 in uint16 (64 MB), lies in the page cache; on a disk the difference is greater. Memory is the
process's peak above its start.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import Comparison, main
from work import files_of_run, fit

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph

SIDE, BANDS, CHOSEN = 400, 200, 10


def write(made: Path) -> None:
    """Write the scene."""
    generator = np.random.default_rng(0)
    with (made / "scene.img").open("wb") as file:
        for _ in range(BANDS):
            file.write(generator.integers(1, 4096, SIDE * SIDE, dtype=np.uint16).tobytes())
    (made / "scene.hdr").write_text(
        f"ENVI\nsamples = {SIDE}\nlines = {SIDE}\nbands = {BANDS}\ndata type = 12\ninterleave = bsq\n"
        "byte order = 0\n"
    )


def prediction(chosen: bool) -> Callable[[], Callable[[], object]]:
    """Return what makes a prediction of the scene, on chosen or on all bands."""

    def make() -> Callable[[], object]:
        graph = Graph()
        last = graph.add_node(MinMaxNormalizer())
        if chosen:
            last = graph.add_node(
                SoftChannelSelector(CHOSEN, init_method="uniform", trainable=False), parent=last
            )
        graph.add_node(RXGlobal(), parent=last)
        cube = torch.randint(1, 4096, (1, BANDS, 60, 60), generator=torch.Generator().manual_seed(0)).float()
        fit(graph, [{"cube": cube}])
        return lambda: graph.predict(files_of_run(write) / "scene.hdr")

    return make


ALTERNATIVES = {"10 of 200 bands": prediction(chosen=True), "all bands": prediction(chosen=False)}

COMPARISONS = [
    Comparison(claim="predict, 10 of 200 bands", ours="10 of 200 bands", peer="all bands", at_most=0.5)
]

if __name__ == "__main__":
    main(ALTERNATIVES, COMPARISONS)
