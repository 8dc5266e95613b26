"""The heatmap shows one scene of the epoch."""

import numpy as np
import pytest
import torch

from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.training.engine.pictures import Pictures
from tests.recorded_run import CollectedPictures, attached_pictures, batches, drawn, execution_of, validate


def test_heatmap_shows_the_cube_with_the_most_anomalies(graph):
    seen = batches(3, invalid=True)
    got = drawn(graph, seen)["heatmap"]
    assert str(got["name"]) == "cube_2_1"
    cube, valid = seen[2]["cube"][1:], seen[2]["valid"][1:]
    np.testing.assert_allclose(got["values"][..., 0], graph(cube, valid=valid).output[0, 0], atol=1e-5)
    assert np.isnan(got["values"][~valid[0].numpy()]).all()
    assert (got["image"][~valid[0].numpy()] == round(0.82 * 255)).all()
    np.testing.assert_array_equal(got["mask"], (seen[2]["mask"][1] & valid[0]).numpy())


@pytest.mark.parametrize("batch_size", [1, 4])
def test_of_tiles_the_named_whole_scene_is_shown(graph, tmp_path, batch_size):
    cube, mask = batches(1)[0]["cube"][0], batches(1)[0]["mask"][0]
    np.save(tmp_path / "scene.npy", cube.permute(1, 2, 0).numpy())
    np.save(tmp_path / "mask.npy", mask.numpy())
    data = SceneTiles(
        tmp_path / "scene.npy",
        mask=tmp_path / "mask.npy",
        tile=5,
        fractions=None,
        batch_size=batch_size,
    )
    data.setup("fit")
    collected = CollectedPictures()
    pictures = Pictures(execution_of(graph), attached_pictures(graph), collected)
    validate(pictures, list(data.val_dataloader()), 0, last=True)
    shown = {picture.name: picture for _, _, picture in collected.pictures}
    with torch.no_grad():
        scores = graph(cube[None]).output[0, 0].numpy()
    np.testing.assert_allclose(shown["heatmap"].data["values"][..., 0], scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(shown["heatmap"].data["mask"], mask.numpy())
    for name in ("heatmap", "overview"):
        assert shown[name].figure.get_suptitle() == "scene"
        assert shown[name].data["image"].shape == (12, 9, 3)
