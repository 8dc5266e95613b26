import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from cuvis_ai.data.loading.dataset import Window
from cuvis_ai.data.tiles import deal_tiles, joined, strips, tile_windows


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    tile=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    max_rows=st.integers(1, 12),
)
def test_tiles_and_their_strips_cover_each_pixel_once(
    height: int, width: int, tile: tuple[int, int], max_rows: int
) -> None:
    tile = (min(tile[0], height), min(tile[1], width))
    seen = np.zeros((height, width), dtype=int)
    for window in tile_windows(height, width, tile):
        assert window.height <= tile[0]
        assert window.width <= tile[1]
        for strip in strips(window, max_rows):
            assert 0 < strip.height <= max_rows
            seen[strip.slices] += 1
    assert (seen == 1).all()


def test_strips_are_even_where_that_costs_little() -> None:
    assert {strip.height for strip in strips(Window(0, 0, 256, 10), 73)} == {64}


@given(
    counts=st.lists(st.sampled_from([0, 0, 0, 1, 5, 40]), min_size=1, max_size=60),
    fractions=st.sampled_from([(0.6, 0.2, 0.2), (1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.98, 0.01, 0.01)]),
    seed=st.integers(0, 3),
)
def test_each_tile_is_dealt_to_one_split(
    counts: list[int], fractions: tuple[float, float, float], seed: int
) -> None:
    splits = deal_tiles(counts, fractions, seed=seed)
    assert sorted(i for split in splits for i in split) == list(range(len(counts)))
    assert splits == deal_tiles(counts, fractions, seed=seed)
    n_wanted = sum(share > 0 for share in fractions)
    for split, share in zip(splits, fractions, strict=True):
        if share == 0:
            assert split == []
        elif len(counts) >= n_wanted:
            assert split
        if share > 0 and sum(count > 0 for count in counts) >= n_wanted:
            assert any(counts[i] > 0 for i in split)


def test_tiles_are_dealt_in_proportion() -> None:
    splits = deal_tiles([0] * 1000, (0.6, 0.2, 0.2), seed=0)
    assert [len(split) for split in splits] == [600, 200, 200]
    splits = deal_tiles([1] * 100 + [0] * 900, (0.6, 0.2, 0.2), seed=0)
    assert [sum(i < 100 for i in split) for split in splits] == [60, 20, 20]


def test_statistics_read_tiles_side_by_side_as_one() -> None:
    beside = [Window(4, left, 4, 3) for left in (0, 3, 6, 9, 15)]
    below, shorter = Window(8, 18, 4, 3), Window(4, 18, 2, 3)
    assert joined([shorter, below, *reversed(beside)], 3) == [
        Window(4, 0, 4, 9), Window(4, 9, 4, 3), Window(4, 15, 4, 3), shorter, below,
    ]  # fmt: skip
