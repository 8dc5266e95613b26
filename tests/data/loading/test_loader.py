import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cuvis_ai.data.band_selection import BandSelection
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.loading.collate import Sample, collate_cubes
from cuvis_ai.data.loading.dataset import CubeDataset, CubeItem
from cuvis_ai.data.loading.loader import CubeLoader
from cuvis_ai.data.loading.sampler import EpochSampler
from cuvis_ai.data.options import ReadingOptions


class Noted(CubeDataset):
    """Notes what was read; the item `broken` cannot be."""

    def __init__(self, path: Path, n: int, broken: int | None = None) -> None:
        bands = BandSelection.of(read_cube(path), ReadingOptions())
        items = [CubeItem(name=str(i), path=path) for i in range(n)]
        super().__init__(items, bands=bands, reading=ReadingOptions())
        self.broken = broken
        self.read: list[int] = []
        self.came = threading.Condition()

    def __getitem__(self, index: int) -> Sample:
        if index == self.broken:
            raise RuntimeError("broken")
        sample = super().__getitem__(index)
        with self.came:
            self.read.append(index)
            self.came.notify_all()
        return sample

    def wait_for(self, n: int) -> bool:
        with self.came:
            return self.came.wait_for(lambda: len(self.read) >= n, timeout=60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.save(tmp_path / "cube.npy", np.ones((2, 3, 4), np.float32))
    return tmp_path / "cube.npy"


def loader_of(dataset: CubeDataset, *, read_ahead: bool = True) -> CubeLoader:
    sampler = EpochSampler(
        len(dataset), seed=0, shuffle=False, equal_shards=False, rank=0, world_size=1
    )  # fmt: skip
    return CubeLoader(dataset, sampler=sampler, batch_size=1, read_ahead=read_ahead, collate_fn=collate_cubes)


def names(batches: Any) -> list[str]:
    return [name for batch in batches for name in batch["name"]]


def test_the_next_batch_is_read_while_one_is_used_and_no_further(path: Path) -> None:
    dataset = Noted(path, 4)
    batches = iter(loader_of(dataset))
    for number in range(4):
        assert next(batches)["name"] == [str(number)]
        assert dataset.wait_for(min(number + 2, 4))
        assert dataset.read == list(range(min(number + 2, 4)))
    assert list(batches) == []


def test_what_was_handed_out_is_counted_not_what_was_read(path: Path) -> None:
    dataset = Noted(path, 4)
    loader = loader_of(dataset)
    batches = iter(loader)
    next(batches)
    assert dataset.wait_for(2)
    state = loader.state_dict()
    assert state["n_drawn"] == 1
    rest = loader_of(Noted(path, 4))
    rest.load_state_dict(state)
    assert names(rest) == ["1", "2", "3"]


def test_an_error_comes_in_its_turn(path: Path) -> None:
    batches = iter(loader_of(Noted(path, 4, broken=2)))
    assert [next(batches)["name"] for _ in range(2)] == [["0"], ["1"]]
    with pytest.raises(RuntimeError, match="broken"):
        next(batches)


def test_an_epoch_that_is_left_early_leaves_no_thread(path: Path) -> None:
    before = threading.active_count()
    batches = iter(loader_of(Noted(path, 4)))
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()  # type: ignore[attr-defined]  # a generator
    assert threading.active_count() == before


def test_otherwise_a_batch_is_read_when_it_is_asked_for(path: Path) -> None:
    dataset = Noted(path, 4)
    batches = iter(loader_of(dataset, read_ahead=False))
    next(batches)
    assert dataset.read == [0]
    assert names(batches) == ["1", "2", "3"]


def test_the_thread_that_reads_uses_the_device_of_the_one_that_asks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as can be seen without a GPU."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(
        torch.cuda, "set_device", lambda device: chosen.append((device, threading.current_thread()))
    )
    assert len(list(loader_of(Noted(path, 2)))) == 2
    [(device, thread)] = chosen
    assert device == 3
    assert thread is not threading.current_thread()
