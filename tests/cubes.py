"""Small cubes for tests, and a data module that serves them as they are."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader


def random_cubes(
    b: int = 2, c: int = 7, h: int = 6, w: int = 5, *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return correlated channels with different means and spreads."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(c, c, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    pixels = torch.randn(b, h, w, c, generator=generator, dtype=torch.float64) @ mixing.T
    pixels = pixels + torch.arange(c, dtype=torch.float64)
    return pixels.to(dtype).permute(0, 3, 1, 2)


class Batches(LightningDataModule):
    """Serves lists of batches, and counts how often each list is begun and each batch is read."""

    def __init__(
        self,
        train: Sequence[dict[str, Any]],
        val: Sequence[dict[str, Any]] = (),
        test: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__()
        self.sets = {"train": CountedSet(train), "val": CountedSet(val), "test": CountedSet(test)}

    def train_dataloader(self) -> Any:
        return DataLoader(self.sets["train"], batch_size=None)

    def val_dataloader(self) -> Any:
        return DataLoader(self.sets["val"], batch_size=None) if len(self.sets["val"]) else []

    def test_dataloader(self) -> Any:
        return DataLoader(self.sets["test"], batch_size=None)


class CountedSet(torch.utils.data.Dataset[dict[str, Any]]):
    """A list of batches that counts reads."""

    def __init__(self, batches: Sequence[dict[str, Any]]) -> None:
        self.batches = list(batches)
        self.reads = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> dict[str, Any]:
        self.reads += 1
        return self.batches[i]


def as_batches(cubes: Tensor, size: int = 2, **others: Tensor) -> list[dict[str, Any]]:
    """Return batches of a set of cubes, with other keys cut alike."""
    return [
        {"cube": cubes[i : i + size], **{key: value[i : i + size] for key, value in others.items()}}
        for i in range(0, len(cubes), size)
    ]
