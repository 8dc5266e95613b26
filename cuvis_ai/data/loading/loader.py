"""A data loader that reads ahead, and continues a run interrupted within an epoch."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader

from cuvis_ai.data.loading.collate import Sample
from cuvis_ai.data.loading.dataset import CubeDataset
from cuvis_ai.data.loading.sampler import EpochSampler

T = TypeVar("T")


class CubeLoader(DataLoader[Sample]):
    """Load batches in the order of an `EpochSampler`, and continue where a checkpoint was written.

    Lightning saves `state_dict` with its checkpoints and loads it when the checkpoint lies within an
    epoch; without it, a resumed run would draw the epoch's first batches again in place of the rest.

    Args:
        dataset: what to load.
        sampler: the order.
        read_ahead: whether a thread reads the next batch while one is worked on, so that two are held, where
            there are no worker processes to do so.

    The other arguments are those of `DataLoader`.

    State:
        epoch: the sampler's.
        n_drawn: batches of that epoch that were handed out.
    """

    def __init__(
        self,
        dataset: CubeDataset,
        *,
        sampler: EpochSampler,
        batch_size: int,
        read_ahead: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(dataset, batch_size=batch_size, sampler=sampler, **options)
        self._read_ahead = read_ahead and not self.num_workers
        self._n_drawn = 0
        self._interrupted: dict[str, int] = {}

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the epoch's batches; those that are left, if the epoch is the interrupted one.

        A generator, since Lightning asks for the iterator before it tells the sampler the epoch, and
        workers would start at once to read in the wrong order.
        """
        interrupted, self._interrupted = self._interrupted, {}
        self._n_drawn = 0
        # Lightning's `overfit_batches` puts a sampler of its own in place.
        if isinstance(self.sampler, EpochSampler) and self.batch_size is not None:
            if interrupted.get("epoch") == self.sampler.epoch:
                self._n_drawn = interrupted["n_drawn"]
            self.sampler.start = self._n_drawn * self.batch_size
        batches = super().__iter__()
        for batch in _read_ahead(batches) if self._read_ahead else batches:
            self._n_drawn += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return how far the run is."""
        epoch = self.sampler.epoch if isinstance(self.sampler, EpochSampler) else 0
        return {"epoch": epoch, "n_drawn": self._n_drawn}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Leave out, when that epoch is iterated next, the batches that were handed out."""
        self._interrupted = state_dict


def _read_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items; a thread makes one while the one before is used."""
    end = object()
    with ThreadPoolExecutor(1, "cuvis_ai-reads-ahead", *_on_this_device()) as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]  # it is not the end


def _on_this_device() -> tuple[Callable[[int], None], tuple[int]] | tuple[()]:
    """What a thread begins with: otherwise it would pin memory through the first GPU, not its rank's."""
    return (torch.cuda.set_device, (torch.cuda.current_device(),)) if torch.cuda.is_initialized() else ()
