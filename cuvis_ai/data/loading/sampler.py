"""The order in which cubes are drawn: a function of (seed, epoch, rank) and of nothing else."""

from collections.abc import Iterator

import numpy as np
import torch.distributed
from torch.utils.data import DistributedSampler

from cuvis_ai.data.options import refuse


def rank_and_world_size() -> tuple[int, int]:
    """Return this process's rank and the number of ranks; (0, 1) without a process group."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class Repeated(int):
    """The number of a sample that counts elsewhere: it is drawn again without a valid pixel."""


class EpochSampler(DistributedSampler[int]):
    """Draw this rank's share of 0 … n_samples - 1, in an order that depends on (seed, epoch) alone.

    No generator is carried from epoch to epoch, so a run resumed at epoch e draws what an
    uninterrupted one draws there. Rank r of R takes the positions r, r + R, r + 2R, … of the common
    order. Deriving from `DistributedSampler` tells Lightning that the order is sharded already.

    Args:
        n_samples: length of the data set.
        seed: not negative; one value on all ranks.
        shuffle: draw a permutation; otherwise keep the data set's order.
        equal_shards: draw samples from the start again, as `Repeated`, until every rank has as many, as
            training needs, where all ranks must take as many steps; otherwise each sample is drawn by one
            rank once, as evaluation and statistics need.
        rank: this process, from 0.
        world_size: number of processes.

    Raises:
        ConfigError: a number out of its range.
    """

    def __init__(
        self,
        n_samples: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        equal_shards: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        outside = not 0 <= rank < world_size
        refuse(
            "EpochSampler",
            {
                f"`n_samples` of 0 or more, got {n_samples}": n_samples < 0,
                f"`seed` of 0 or more, got {seed}": seed < 0,
                f"`rank` from 0 to `world_size` - 1, got {rank} of {world_size}": outside,
            },
        )
        super().__init__(range(n_samples), num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed)  # type: ignore[arg-type]
        self.n_samples = n_samples
        self.equal_shards = equal_shards
        self.start = 0
        """Positions to leave out at the beginning of the next iteration, and of that only."""

    def __iter__(self) -> Iterator[int]:
        """Yield this rank's sample numbers for the current epoch."""
        order = np.arange(self.n_samples)
        if self.shuffle:
            # A seed sequence mixes its words; seed + epoch would draw the order of (0, 1) for (1, 0) again.
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n_samples)
        if self.equal_shards and self.n_samples:
            order = np.resize(order, -(-self.n_samples // self.num_replicas) * self.num_replicas)
        start, self.start = self.start, 0
        positions = range(self.rank, len(order), self.num_replicas)[start:]
        yield from (int(order[i]) if i < self.n_samples else Repeated(order[i]) for i in positions)

    def __len__(self) -> int:
        """Return how many samples this rank draws in an epoch."""
        if self.equal_shards:
            return -(-self.n_samples // self.num_replicas)
        return len(range(self.rank, self.n_samples, self.num_replicas))
