"""Files of small cubes and the plainest data module that serves them."""

from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.datamodule import CubeDataModule, SplitItems
from cuvis_ai.data.loading.dataset import CubeItem
from cuvis_ai.data.options import CubeArguments
from cuvis_ai.types import Batch


class Files(CubeDataModule):
    """The files of a folder, dealt by count: the plainest data module there can be."""

    def __init__(
        self,
        folder: Path,
        counts: tuple[int, int, int],
        *,
        batch_size: int = 2,
        **options: Unpack[CubeArguments],
    ) -> None:
        super().__init__(batch_size=batch_size, **options)
        self.folder = folder
        self.counts = counts
        self.searches = 0

    def find_items(self) -> SplitItems:
        self.searches += 1
        paths = sorted([*self.folder.glob("*.npy"), *self.folder.glob("*.hdr")])
        items = [CubeItem(name=path.stem, path=path) for path in paths]
        n_train, n_val, n_test = self.counts
        return SplitItems(
            items[:n_train], items[n_train : n_train + n_val], items[-n_test:] if n_test else []
        )


def write_cubes(folder: Path, n: int, *, shape: tuple[int, int, int] = (3, 4, 5)) -> NDArray[np.uint16]:
    """n cubes of random counts, c00.npy and so on."""
    cubes = np.random.default_rng(0).integers(0, 4000, size=(n, *shape), dtype=np.uint16)
    for i, cube in enumerate(cubes):
        np.save(folder / f"c{i:02d}.npy", cube)
    return cubes


def write_envi(path: Path, cube: NDArray[Any], **fields: str) -> None:
    """An ENVI cube, BIP, with further header fields (`data_ignore_value` and so on)."""
    kinds = {"uint16": 12, "int16": 2, "float32": 4, "float64": 5}
    path.with_suffix(".img").write_bytes(np.ascontiguousarray(cube).tobytes())
    height, width, bands = cube.shape
    lines = [
        "ENVI",
        f"samples = {width}",
        f"lines = {height}",
        f"bands = {bands}",
        f"data type = {kinds[cube.dtype.name]}",
        "interleave = bip",
        "byte order = 0",
        *(f"{name.replace('_', ' ')} = {value}" for name, value in fields.items()),
    ]
    path.write_text("\n".join(lines) + "\n")


def names_of(loader: Any) -> list[list[str]]:
    return [batch["name"] for batch in loader]


def only_cube(folder: Path, cube: NDArray[Any], **arguments: Any) -> Batch:
    """The one cube of a folder as its data module serves it."""
    np.save(folder / "only.npy", cube)
    batch: Batch = next(iter(Files(folder, (0, 0, 1), **arguments).test_dataloader()))
    return batch


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])
