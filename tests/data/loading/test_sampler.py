import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
import torch.distributed
from hypothesis import given
from torch.testing._internal.distributed.fake_pg import FakeStore

from cuvis_ai.data.loading.sampler import EpochSampler, Repeated, rank_and_world_size
from cuvis_ai.errors import ConfigError


@pytest.fixture
def third_of_four() -> Iterator[None]:
    torch.distributed.init_process_group("fake", rank=2, world_size=4, store=FakeStore())
    yield
    torch.distributed.destroy_process_group()


@given(n=st.integers(0, 40), seed=st.integers(0, 5), epoch=st.integers(0, 5), world_size=st.integers(1, 5))
def test_evaluation_shards_hold_each_sample_once(n: int, seed: int, epoch: int, world_size: int) -> None:
    shards = []
    for rank in range(world_size):
        sampler = EpochSampler(n, seed=seed, equal_shards=False, rank=rank, world_size=world_size)
        sampler.set_epoch(epoch)
        shards.append(list(sampler))
        assert len(sampler) == len(shards[-1])
    assert sorted(i for shard in shards for i in shard) == list(range(n))


@given(n=st.integers(1, 40), seed=st.integers(0, 5), world_size=st.integers(1, 5))
def test_training_shards_are_equally_long_and_repeat_as_little_as_possible(
    n: int, seed: int, world_size: int
) -> None:
    samplers = [EpochSampler(n, seed=seed, rank=rank, world_size=world_size) for rank in range(world_size)]
    shards = [list(sampler) for sampler in samplers]
    length = math.ceil(n / world_size)
    assert [len(shard) for shard in shards] == [length] * world_size
    assert [len(sampler) for sampler in samplers] == [length] * world_size
    counts = Counter(i for shard in shards for i in shard)
    assert set(counts) == set(range(n))
    assert max(counts.values()) - min(counts.values()) <= 1
    counted = [i for shard in shards for i in shard if not isinstance(i, Repeated)]
    assert sorted(counted) == list(range(n))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def drawn(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(30, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    uninterrupted = EpochSampler(30, seed=1)
    for epoch in range(4):
        uninterrupted.set_epoch(epoch)
        torch.manual_seed(epoch)  # whatever else happens in a run
        assert list(uninterrupted) == drawn(1, epoch)
    orders = {tuple(drawn(seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16  # seed + epoch would give 7


def test_without_shuffling_the_order_is_that_of_the_data_set() -> None:
    sampler = EpochSampler(5, shuffle=False)
    sampler.set_epoch(3)
    assert list(sampler) == [0, 1, 2, 3, 4]


def test_a_start_holds_for_one_iteration() -> None:
    sampler = EpochSampler(6, shuffle=False)
    sampler.start = 4
    assert list(sampler) == [4, 5]
    assert list(sampler) == [0, 1, 2, 3, 4, 5]


def test_lightning_takes_the_order_for_sharded() -> None:
    # Lightning wraps any other sampler once more, and each rank would see a part of its part.
    assert isinstance(EpochSampler(3), torch.utils.data.DistributedSampler)


def test_rank_without_a_process_group() -> None:
    assert rank_and_world_size() == (0, 1)


@pytest.mark.usefixtures("third_of_four")
def test_rank_in_a_process_group() -> None:
    assert rank_and_world_size() == (2, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": -1}, "`n_samples` of 0 or more, got -1"),
        ({"n_samples": 3, "seed": -1}, "`seed` of 0 or more, got -1"),
        ({"n_samples": 3, "rank": 2, "world_size": 2}, "`rank`.*got 2 of 2"),
    ],
)
def test_impossible_numbers_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EpochSampler(**arguments)
