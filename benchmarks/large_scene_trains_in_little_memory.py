"""Statistics and training on a scene larger than memory add at most 500 MB to the process.

    python benchmarks/large_scene_trains_in_little_memory.py --gigabytes 8

Writes an ENVI scene of random 12-bit values into a temporary folder, fits MinMax -> PCA -> RX and trains the
PCA for one epoch, and compares the greatest resident memory with that before the first cube was read.
"""

import argparse
import json
import logging
import resource
import tempfile
from pathlib import Path

import numpy as np

LIMIT_MB = 500
BANDS, COLUMNS = 200, 1000


def peak_mb() -> float:
    """Return the greatest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_scene(folder: Path, gigabytes: float, interleave: str) -> Path:
    """Write the scene row by row and return its header."""
    rows = max(64, round(gigabytes * 1e9 / (2 * BANDS * COLUMNS)))
    block = np.random.default_rng(0).integers(1, 4096, BANDS * COLUMNS, dtype=np.uint16)
    with (folder / "scene.img").open("wb") as file:
        for row in range(rows):
            file.write(np.roll(block, row).tobytes())
    header = folder / "scene.hdr"
    header.write_text(
        f"ENVI\nsamples = {COLUMNS}\nlines = {rows}\nbands = {BANDS}\nheader offset = 0\n"
        f"data type = 12\ninterleave = {interleave}\nbyte order = 0\n"
    )
    return header


def train(header: Path, tile: int, workers: int) -> None:
    """Fit and train, for one epoch."""
    from cuvis_ai.anomaly.rx_detector import RXGlobal
    from cuvis_ai.data.scene_tiles import SceneTiles
    from cuvis_ai.node.decoder import PCADecoder
    from cuvis_ai.node.pca import TrainablePCA
    from cuvis_ai.normalization.normalization import MinMaxNormalizer
    from cuvis_ai.pipeline.graph import Graph
    from cuvis_ai.training.config import TrainerConfig, TrainingConfig
    from cuvis_ai.training.losses import MSEReconstructionLoss

    graph = Graph("large")
    norm = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(3, trainable=True), parent=norm)
    graph.add_node(RXGlobal(), parent=pca)
    decoder = graph.add_node(PCADecoder(tied_to=pca), parent=pca)
    graph.add_leaf_node(MSEReconstructionLoss(), parent=decoder)
    data = SceneTiles(header, tile=tile, batch_size=4, num_workers=workers)
    settings = TrainingConfig(trainer=TrainerConfig(max_epochs=1, num_sanity_val_steps=0))
    data.setup("fit")
    before = peak_mb()
    graph.train(data, settings)
    added = peak_mb() - before
    print(json.dumps({"tile": tile, "workers": workers, "added_mb": round(added), "limit_mb": LIMIT_MB}))
    assert added <= LIMIT_MB, f"{added:.0f} MB added, {LIMIT_MB} allowed"


def main() -> None:
    """Write, train, report."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--gigabytes", type=float, default=8.0)
    arguments.add_argument("--tile", type=int, default=128)
    arguments.add_argument("--interleave", choices=("bsq", "bil", "bip"), default="bil")
    arguments.add_argument("--workers", type=int, default=0)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        header = write_scene(Path(folder), chosen.gigabytes, chosen.interleave)
        size = (Path(folder) / "scene.img").stat().st_size
        print(f"{size / 1e9:.2f} GB, {chosen.interleave}")
        train(header, chosen.tile, chosen.workers)


if __name__ == "__main__":
    main()
