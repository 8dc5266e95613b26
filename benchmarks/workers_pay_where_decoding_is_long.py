"""Data-loader workers cost more than they bring where cubes are read as they lie; compressed ones depend.

Timed is the reading of an epoch by a data module, its workers' start included, from files in the page cache:
12 cubes of 160 × 160 × 100, as ENVI, and as gzip-compressed HDF5, which is shown and not asserted.
"""

import math
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from harness import Comparison, main
from work import files_of_run, write_envi

from cuvis_ai.data.cube_folder import CubeFolder

CUBES, SIDE, BANDS = 12, 160, 100


def write(made: Path) -> None:
    """Write the files."""
    generator = np.random.default_rng(0)
    for kind in ("envi", "gzip"):
        (made / kind / "train").mkdir(parents=True)
    for i in range(CUBES):
        write_envi(made / "envi" / "train", f"cube_{i}", SIDE, SIDE, BANDS, seed=i)
        smooth = generator.normal(size=(SIDE, SIDE, BANDS)).cumsum(0).cumsum(1)
        with h5py.File(made / "gzip" / "train" / f"cube_{i}.h5", "w") as file:
            file.create_dataset(
                "cube", data=smooth.astype("i2"), compression="gzip", chunks=(32, SIDE, BANDS)
            )


def reading(kind: str, workers: int) -> Callable[[], Callable[[], object]]:
    """Return what makes a reader of a folder's cubes."""

    def make() -> Callable[[], object]:
        cubes = CubeFolder(files_of_run(write) / kind, batch_size=2, num_workers=workers)
        cubes.setup("fit")
        return lambda: sum(1 for _ in cubes.train_dataloader())

    return make


ALTERNATIVES = {
    "gzip, two workers": reading("gzip", 2),
    "gzip, no workers": reading("gzip", 0),
    "ENVI, two workers": reading("envi", 2),
    "ENVI, no workers": reading("envi", 0),
}

COMPARISONS = [
    Comparison(claim="ENVI, no workers", ours="ENVI, no workers", peer="ENVI, two workers", at_most=1.0),
    Comparison(
        claim="gzip, two workers", ours="gzip, two workers", peer="gzip, no workers", at_most=math.inf
    ),
]

if __name__ == "__main__":
    main(ALTERNATIVES, COMPARISONS)
