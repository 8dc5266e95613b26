"""Statistics from ENVI files run at the slower of two rates: reading the file, or the phase in memory.

    python benchmarks/statistics_from_disk.py
    python benchmarks/statistics_from_disk.py --gigabytes 8

B is 4 cubes 512 × 512 × 200 of uint16; C one scene of the size given. Files lie in the page cache.
"""

import argparse
import os
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import torch
from harness import Comparison, main
from statistics_in_memory import phase
from torch import Tensor
from work import files_of_run, write_envi

from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.data.scene_tiles import SceneTiles

CHUNK = 2**22
"""Bytes that a bare reader takes at once."""


def gigabytes() -> float:
    """The size of C, which --gigabytes gives; it travels to fresh processes in the environment."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--gigabytes", default=os.environ.get("GIGABYTES", "1"))
    chosen, rest = parser.parse_known_args()
    os.environ["GIGABYTES"] = chosen.gigabytes
    sys.argv[1:] = rest
    return float(chosen.gigabytes)


def write(made: Path) -> None:
    """Write the files."""
    for split, seeds in {"train": range(4), "val": (4,)}.items():
        (made / "b" / split).mkdir(parents=True)
        for seed in seeds:
            write_envi(made / "b" / split, f"cube_{seed}", 512, 512, 200, seed=seed)
    write_envi(made, "c", round(gigabytes() * 1e9 / (2 * 200 * 1000)), 1000, 200)


def cubes_from_disk() -> Callable[[], object]:
    """The statistical phase on B, as `graph.train` reads it."""
    return phase(cubes().statistics_dataloader())


def cubes() -> CubeFolder:
    """B."""
    data = CubeFolder(files_of_run(write) / "b", batch_size=1)
    data.setup("fit")
    return data


def scene_from_disk() -> Callable[[], object]:
    """The statistical phase on the training tiles of C, as `graph.train` reads them."""
    return phase(scene().statistics_dataloader())


def scene() -> SceneTiles:
    """C in tiles."""
    data = SceneTiles(files_of_run(write) / "c.hdr", tile=128, batch_size=4)
    data.setup("fit")
    return data


def cubes_in_memory() -> Callable[[], object]:
    """The same phase on what was read before."""
    return phase([{"cube": batch["cube"].clone()} for batch in cubes().statistics_dataloader()])


def scene_in_memory() -> Callable[[], object]:
    """The same phase on batches that were read before, the first gigabyte of them again and again."""
    loader = scene().statistics_dataloader()
    windows = [item.window for item in loader.dataset.items]
    held: list[dict[str, Tensor]] = []
    for batch in loader:
        held.append({key: batch[key].clone() for key in ("cube", "valid") if key in batch})
        if sum(other["cube"].nbytes for other in held) > 1e9:
            break
    pixels = sum(window.height * window.width for window in windows)
    batches: list[dict[str, Tensor]] = []
    for batch in cycle(held):
        if pixels <= 0:
            return phase(batches)
        batches.append(batch)
        pixels -= batch["cube"].shape[0] * batch["cube"].shape[2] * batch["cube"].shape[3]
    raise AssertionError("expected at least one batch")


def bare_reading(paths: Callable[[], list[Path]]) -> Callable[[], Callable[[], object]]:
    """Return what reads files once, and does nothing with them."""

    def read() -> None:
        for path in paths():
            with path.open("rb", buffering=0) as file:
                while file.read(CHUNK):
                    pass

    return lambda: read


ALTERNATIVES = {
    "B from disk": cubes_from_disk,
    "B in memory": cubes_in_memory,
    "B bare reading": bare_reading(lambda: sorted((files_of_run(write) / "b" / "train").glob("*.img"))),
    "C from disk": scene_from_disk,
    "C in memory": scene_in_memory,
    "C bare reading": bare_reading(lambda: [files_of_run(write) / "c.img"]),
}

COMPARISONS = [
    Comparison(
        claim="statistics of B from ENVI files",
        ours="B from disk",
        peer="B in memory",
        at_most=1 / 0.8,
        added_mb=500,
    ),
    Comparison(
        claim="statistics of C from an ENVI file",
        ours="C from disk",
        peer="C in memory",
        at_most=1 / 0.8,
        added_mb=500,
    ),
]

if __name__ == "__main__":
    gigabytes()
    torch.manual_seed(0)
    main(ALTERNATIVES, COMPARISONS, rounds=3)
