"""The scene is the first cube with the most anomalies; no value is shown where there are no data."""

from typing import Any

import numpy as np
import pytest
import torch

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
