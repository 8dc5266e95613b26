"""The scene is the first with the most anomalies, whole; no value is shown where there are no data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.data.tiles import tile_windows
from cuvis_ai.errors import GraphError
from cuvis_ai.leaf.reading import View
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.training.visualizations.scene import SceneChoice, array, classes_of


def batch_of(*anomalies: int, **others: Any) -> dict[str, Any]:
    """Return cubes of 3 bands and 2 x 3 pixels, of which so many are anomalous."""
    mask = torch.stack([torch.arange(6).view(2, 3) < n for n in anomalies])
    return {"cube": torch.rand(len(anomalies), 3, 2, 3), "mask": mask, **others}


def view_of(valid: torch.Tensor | None = None) -> View:
    return View(MinMaxNormalizer(), {}, valid)


def named(prefix: str, n: int) -> list[str]:
    return [f"{prefix}{i}" for i in range(n)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.bool])
def test_an_array_has_the_tensors_values(dtype: torch.dtype) -> None:
    values = torch.tensor([0.0, 1.0], dtype=dtype)
    assert array(values).tolist() == [0.0, 1.0]


def test_valid_pixels_are_normal_or_anomalous_and_others_neither() -> None:
    batch, valid = batch_of(2), torch.ones(1, 2, 3, dtype=torch.bool)
    valid[0, 0, 0] = valid[0, 1, 2] = False
    classes = classes_of(view_of(valid), batch, batch["cube"])
    assert classes.normal.tolist() == [False, False, True, True, True, False]
    assert classes.anomalous.tolist() == [False, True, False, False, False, False]


def test_without_truth_all_valid_pixels_are_normal() -> None:
    cube = torch.rand(2, 3, 2, 3)
    classes = classes_of(view_of(), {"cube": cube}, cube)
    assert bool(classes.normal.all())
    assert classes.normal.shape == (12,)
    assert not classes.anomalous.any()


def test_the_first_cube_with_the_most_anomalies_is_chosen() -> None:
    choice = SceneChoice()
    assert choice.chosen is None
    for prefix, anomalies in (("a", (0, 2)), ("b", (1, 3, 3)), ("c", (3, 0))):
        batch = batch_of(*anomalies, name=named(prefix, len(anomalies)))
        choice.offer(batch["cube"][:, :1], view_of(), batch)
    assert choice.chosen is not None
    assert choice.chosen.name == "b1"
    assert int(choice.chosen.mask.sum()) == 3


def test_anomalies_without_data_do_not_count() -> None:
    batch = batch_of(4, 2, name=["hidden", "seen"])
    valid = torch.ones(2, 2, 3, dtype=torch.bool)
    valid[0] = False
    choice = SceneChoice()
    choice.offer(batch["cube"], view_of(valid), batch)
    assert choice.chosen.name == "seen"


def test_a_scene_holds_values_and_mask_where_there_are_data() -> None:
    batch, valid = batch_of(2, name=["one"]), torch.ones(1, 2, 3, dtype=torch.bool)
    valid[0, 0, 0] = False
    values = torch.rand(1, 1, 2, 3)
    choice = SceneChoice()
    choice.offer(values, view_of(valid), batch)
    scene, here = choice.chosen, valid[0].numpy()
    assert np.isnan(scene.values[~here]).all()
    np.testing.assert_array_equal(scene.values[here, 0], values[0, 0].numpy()[here])
    np.testing.assert_array_equal(scene.mask, batch["mask"][0].numpy() & here)
    assert bool(values.isfinite().all()), "what left the parent is not changed"
    arrays = scene.arrays()
    assert set(arrays) == {"image", "values", "mask", "name"}
    assert arrays["image"].dtype == np.uint8
    assert arrays["image"].shape == (2, 3, 3)


def test_without_names_and_truth_the_first_cube_is_shown_without_either() -> None:
    cube = torch.rand(2, 3, 2, 3)
    choice = SceneChoice()
    choice.offer(cube, view_of(), {"cube": cube})
    np.testing.assert_array_equal(choice.chosen.values, cube[0].permute(1, 2, 0).numpy())
    assert choice.chosen.name == ""
    assert set(choice.chosen.arrays()) == {"image", "values", "name"}


SIZE = (7, 9)
"""Of scenes that are cut into tiles."""


def scene_batch(seed: int, anomalies: int, **others: Any) -> dict[str, Any]:
    """Return a whole scene of 4 bands as a batch, so many of its pixels anomalous."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(SIZE[0] * SIZE[1], generator=generator).view(1, *SIZE)
    return {"cube": torch.rand(1, 4, *SIZE, generator=generator), "mask": order < anomalies, **others}


def offer_tiles(
    choice: SceneChoice,
    batch: dict[str, Any],
    name: str,
    *,
    context: int = 0,
    batch_size: int = 2,
    windows: Sequence[Window] = tuple(tile_windows(*SIZE, (3, 4))),
) -> None:
    """Offer a scene as padded tiles; the values are its last band, and other ones where it is context."""
    for first in range(0, len(windows), batch_size):
        parts = windows[first : first + batch_size]
        grown = [one.grown(context, SIZE) for one in parts]
        height, width = max(one.height for one in grown), max(one.width for one in grown)
        tiles = {
            key: torch.zeros(len(parts), *whole.shape[1:-2], height, width, dtype=whole.dtype)
            for key, whole in batch.items()
        }
        core = torch.zeros(len(parts), height, width, dtype=torch.bool)
        for i, (part, outer) in enumerate(zip(parts, grown, strict=True)):
            for key, whole in batch.items():
                tiles[key][i][..., : outer.height, : outer.width] = whole[0][..., *outer.slices]
            inner = part._replace(top=part.top - outer.top, left=part.left - outer.left)
            core[i][inner.slices] = True
        values = torch.where(core[:, None], tiles["cube"][:, -1:], 99.0)
        labels = [f"{name}[{w.top}:{w.top + w.height},{w.left}:{w.left + w.width}]" for w in parts]
        valid = core & tiles.get("valid", core)
        given = {**tiles, "core": core, "name": labels, "window": torch.tensor([list(one) for one in grown])}
        choice.offer(values, view_of(valid), given)


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 9])
def test_tiles_show_what_the_whole_scene_shows(context: int, batch_size: int) -> None:
    whole = scene_batch(0, 11)
    whole["valid"] = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(1)) > 0.1
    expected, choice = SceneChoice(), SceneChoice()
    expected.offer(whole["cube"][:, -1:], view_of(whole["valid"]), {**whole, "name": ["a [scene]"]})
    offer_tiles(choice, whole, "a [scene]", context=context, batch_size=batch_size)
    got, known = choice.chosen.arrays(), expected.chosen.arrays()
    assert str(got["name"]) == "a [scene]"
    assert got.keys() == known.keys()
    for key in got:
        np.testing.assert_array_equal(got[key], known[key], err_msg=key)
    np.testing.assert_array_equal(
        got["values"][..., 0], torch.where(whole["valid"][0], whole["cube"][0, -1], torch.nan).numpy()
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_scene_with_the_most_anomalies_in_all_its_tiles_is_chosen(order: tuple[int, ...]) -> None:
    """The first has the single tile with the most."""
    scenes = [scene_batch(0, 0), scene_batch(1, 20), scene_batch(2, 15)]
    scenes[0]["mask"][0, :3, :4] = True
    choice = SceneChoice()
    for i in order:
        offer_tiles(choice, scenes[i], f"scene_{i}")
    assert choice.chosen.name == "scene_1"
    np.testing.assert_array_equal(choice.chosen.mask, scenes[1]["mask"][0].numpy())


def test_two_scenes_without_context_are_held_at_most() -> None:
    choice = SceneChoice()
    for i in range(6):
        offer_tiles(choice, scene_batch(i, 5 + i), f"scene_{i}", context=2)
        held = [one for one in (choice._best, choice._current) if one is not None]
        assert sum(tile.counted.size for one in held for tile in one.tiles) <= 2 * SIZE[0] * SIZE[1]
        assert {tile.bands.dtype for one in held for tile in one.tiles} == {np.dtype(np.float32)}


def test_what_no_tile_shows_has_no_value_and_stays_in_its_place() -> None:
    whole, (first, *_, last) = scene_batch(0, 63), tile_windows(*SIZE, (3, 4))
    choice = SceneChoice()
    offer_tiles(choice, whole, "scene", windows=[last, first])
    scene = choice.chosen
    shown = np.zeros(SIZE, dtype=bool)
    shown[first.slices] = shown[last.slices] = True
    np.testing.assert_array_equal(np.isfinite(scene.values[..., 0]), shown)
    np.testing.assert_array_equal(scene.values[shown, 0], whole["cube"][0, -1].numpy()[shown])
    np.testing.assert_array_equal(scene.mask, shown)
    assert (scene.arrays()["image"][~shown] == round(0.82 * 255)).all()


def test_of_two_tiles_that_overlap_the_first_counts() -> None:
    whole, choice = scene_batch(0, 5), SceneChoice()
    top, bottom = Window(0, 0, 5, 9), Window(3, 0, 4, 9)
    offer_tiles(choice, whole, "scene", windows=[top])
    offer_tiles(choice, {**whole, "cube": whole["cube"] + 2.0}, "scene", windows=[bottom])
    expected = whole["cube"][0, -1].clone()
    expected[5:] += 2.0
    np.testing.assert_array_equal(choice.chosen.values[..., 0], expected.numpy())


def test_tiles_without_truth_or_name() -> None:
    whole, choice = scene_batch(0, 5), SceneChoice()
    del whole["mask"]
    offer_tiles(choice, whole, "scene")
    assert choice.chosen.mask is None
    assert choice.chosen.values.shape == (*SIZE, 1)
    nameless = SceneChoice()
    nameless.offer(whole["cube"], view_of(), {**whole, "window": torch.tensor([[2, 2, *SIZE]])})
    assert nameless.chosen.values.shape == (*SIZE, 4)


@pytest.mark.parametrize("window", [[0, 0, 8, 9], [-1, 0, 7, 9], [0, 0, 0, 9], [0, 0, 7.0, 9.0]])
def test_a_window_that_is_none_is_an_error(window: list[float]) -> None:
    whole = scene_batch(0, 5)
    with pytest.raises(GraphError, match="row, column, height and width"):
        SceneChoice().offer(
            whole["cube"], view_of(), {**whole, "name": ["scene"], "window": torch.tensor([window])}
        )
