"""Regions of a scene from its tiles: the scene's own, in any tiling, order, overlap and number of ranks."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.multiprocessing import spawn

from cuvis_ai.data.tiles import tile_windows
from cuvis_ai.errors import GraphError
from cuvis_ai.functional.detection import aupro
from cuvis_ai.functional.regions import region_weights
from cuvis_ai.leaf import scene_regions
from cuvis_ai.leaf.observer import Observer
from cuvis_ai.leaf.reading import Evaluation, Truth
from cuvis_ai.leaf.scene_regions import SceneRegions
from cuvis_ai.stats import ScoreDistribution
from cuvis_ai.training.losses import AnomalyBCEWithLogits
from cuvis_ai.types import CUBE
from tests.graphs import detector

Rect = tuple[int, int, int, int]


def scene(seed: int, h: int = 23, w: int = 19, share: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores (h, w), a mask with regions of many forms, and which pixels are valid."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(h, w, generator=generator) < share
    scores = torch.randn(h, w, generator=generator) + mask
    return scores, mask, torch.rand(h, w, generator=generator) > 0.05


def batches_of(parts: tuple[Tensor, ...], rects: Sequence[Rect], name: str = "a") -> Iterator[dict[str, Any]]:
    """Yield the tiles one by one, the first with its rectangle in its name, as the data modules do."""
    for i, (top, left, height, width) in enumerate(rects):
        cut = [part[top : top + height, left : left + width] for part in parts]
        called = name if i else f"{name}[{top}:{top + height},{left}:{left + width}]"
        yield {
            "cube": cut[0][None, None], "mask": cut[1][None], "valid": cut[2][None],
            "window": torch.tensor([[top, left, height, width]]), "name": [called],
        }  # fmt: skip


def observed(
    batches: Iterator[dict[str, Any]], core: Sequence[Tensor | None] | None = None
) -> ScoreDistribution:
    """Return the distribution of scores that an observer gathers from batches."""
    observer = Observer(detector(AnomalyBCEWithLogits())._members.execution)
    asked = observer.observe(CUBE, ScoreDistribution, truth=Truth.REQUIRED)
    for i, batch in enumerate(batches):
        inner = None if core is None else core[i]
        observer.update(Evaluation({CUBE: batch["cube"]}, batch.get("valid"), inner), batch)
    observer.finish()
    sketch = observer.taken(asked)
    assert isinstance(sketch, ScoreDistribution)
    return sketch


def by_hand(scores: Tensor, mask: Tensor, valid: Tensor) -> ScoreDistribution:
    """Return the distribution of a whole scene, its regions labelled at once."""
    whole = ScoreDistribution()
    weights = region_weights(mask[None], valid[None])
    whole.update(scores.reshape(-1, 1), valid.flatten(), weights.flatten())
    return whole


def assert_same(found: ScoreDistribution, expected: ScoreDistribution) -> None:
    one, other = found.curve(), expected.curve()
    assert torch.equal(one.tp, other.tp)
    assert torch.equal(one.fp, other.fp)
    torch.testing.assert_close(one.overlap, other.overlap, rtol=0, atol=1e-9)
    assert aupro(one) == pytest.approx(aupro(other), abs=1e-12)


@pytest.mark.parametrize("tile", [(23, 19), (7, 5), (1, 19), (1, 1), (10, 10)])
@pytest.mark.parametrize("share", [0.03, 0.3, 0.6])
def test_tiles_give_the_regions_of_the_scene(tile: tuple[int, int], share: float) -> None:
    parts = scene(0, share=share)
    rects = [tuple(window) for window in tile_windows(23, 19, tile)]
    rects = [rects[i] for i in np.random.default_rng(0).permutation(len(rects))]
    assert_same(observed(batches_of(parts, rects)), by_hand(*parts))


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 15), st.integers(0, 12), st.integers(1, 8), st.integers(1, 7)), max_size=8
    )
)
def test_overlapping_tiles_count_once(rects: list[Rect]) -> None:
    parts = scene(1)
    assert_same(observed(batches_of(parts, [*rects, (0, 0, 23, 19)])), by_hand(*parts))


def test_context_of_tiles_counts_in_its_own_tile() -> None:
    parts = scene(2)
    windows = tile_windows(23, 19, (6, 7))
    grown = [window.grown(3, (23, 19)) for window in windows]
    cores = []
    for window, read in zip(windows, grown, strict=True):
        core = torch.zeros(1, read.height, read.width, dtype=torch.bool)
        rows, columns = window._replace(top=window.top - read.top, left=window.left - read.left).slices
        core[0, rows, columns] = True
        cores.append(core)
    assert_same(observed(batches_of(parts, [tuple(read) for read in grown]), cores), by_hand(*parts))


def test_scenes_are_told_apart_by_name_and_batches_may_hold_padding() -> None:
    one, other = scene(3), scene(4)
    rects = [tuple(window) for window in tile_windows(23, 19, (6, 7))]
    tiles = [*batches_of(one, rects, "one"), *batches_of(other, rects, "other")]
    batches = []
    for pair in zip(tiles[::2], tiles[1::2], strict=True):
        batch: dict[str, Any] = {"name": [name for tile in pair for name in tile["name"]]}
        batch["window"] = torch.cat([tile["window"] for tile in pair])
        for key in ("cube", "mask", "valid"):
            whole = torch.zeros(2, *pair[0][key].shape[1:-2], 6, 7, dtype=pair[0][key].dtype)
            for row, tile in zip(whole, pair, strict=True):
                row[..., : tile[key].shape[-2], : tile[key].shape[-1]] = tile[key][0]
            batch[key] = whole
        batches.append(batch)
    assert_same(observed(iter(batches)), by_hand(*one).merge(by_hand(*other)))


def test_without_window_or_name_regions_are_those_of_each_cube() -> None:
    parts = scene(5)
    rects = [tuple(window) for window in tile_windows(23, 19, (6, 7))]
    expected = ScoreDistribution()
    for top, left, height, width in rects:
        cut = [part[top : top + height, left : left + width] for part in parts]
        expected = expected.merge(by_hand(*cut))
    for missing in ("window", "name"):
        batches = (
            {key: value for key, value in batch.items() if key != missing}
            for batch in batches_of(parts, rects)
        )
        assert_same(observed(batches), expected)
    assert aupro(expected.curve()) != pytest.approx(aupro(by_hand(*parts).curve()), abs=1e-3)


def test_ranks_put_regions_together_and_count_an_anomaly_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = scene(6, share=0.5)
    rects = [tuple(window) for window in tile_windows(23, 19, (6, 7))]
    shares = [rects[::2], rects[1::2]]
    held = []
    for share in shares:
        regions = SceneRegions()
        for batch in batches_of(parts, share):
            regions.truth(batch["mask"], Evaluation({}, batch["valid"]), batch)
        held.append(regions)
    opened = [list(regions._open) for regions in held]
    monkeypatch.setattr(scene_regions, "of_all_ranks", lambda value: opened)
    total = 0.0
    for rank, regions in enumerate(held):
        monkeypatch.setattr(scene_regions, "this_rank", lambda rank=rank: rank)
        weights, here = regions.weights()
        assert here.all()
        for (_, places), weight in zip(
            opened[rank], weights.split([len(p) for _, p in opened[rank]]), strict=True
        ):
            expected = region_weights(parts[1][None], parts[2][None])[0][tuple(places.T)]
            torch.testing.assert_close(weight, expected)
        total += float(weights.sum())
    assert total > 0
    again = [[*opened[0]], [*opened[0], *opened[1]]]
    monkeypatch.setattr(scene_regions, "of_all_ranks", lambda value: again)
    monkeypatch.setattr(scene_regions, "this_rank", lambda: 1)
    _, here = SceneRegions().weights()
    first = sum(len(places) for _, places in opened[0])
    assert not here[:first].any()
    assert here[first:].all()


TILES = [tuple(window) for window in tile_windows(23, 19, (6, 7))]


def _observe_on(rank: int, folder: str) -> None:
    """Take every second tile; this runs in a process of its own."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/ranks", rank=rank, world_size=2)
    curve = observed(batches_of(scene(6, share=0.5), TILES[rank::2])).curve()
    torch.save([curve.tp, curve.fp, curve.overlap, aupro(curve)], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_with_every_second_tile_have_the_aupro_of_the_scene(tmp_path: Path) -> None:
    spawn(_observe_on, args=(str(tmp_path),), nprocs=2)
    expected = by_hand(*scene(6, share=0.5)).curve()
    for rank in range(2):
        tp, fp, overlap, area = torch.load(tmp_path / f"{rank}.pt")
        assert torch.equal(tp, expected.tp)
        assert torch.equal(fp, expected.fp)
        torch.testing.assert_close(overlap, expected.overlap, rtol=0, atol=1e-9)
        assert area == pytest.approx(aupro(expected), abs=1e-12)


@pytest.mark.parametrize(
    "window", [torch.zeros(1, 4), [0, 0, 2, 2], torch.tensor([[0, 0, 9, 2]]), torch.tensor([1])]
)
def test_windows_that_are_none_are_refused(window: Any) -> None:
    mask = torch.ones(1, 2, 2, dtype=torch.bool)
    with pytest.raises(GraphError, match=r"window: expected whole numbers \(1, 4\)"):
        SceneRegions().truth(mask, Evaluation({}, None), {"window": window, "name": ["a"]})
