"""The heatmap shows one scene of the epoch."""

import numpy as np
import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.leaf import Read, View
from cuvis_ai.stats import ChannelMoments
from cuvis_ai.training.engine.pictures import Pictures
from cuvis_ai.training.visualizations import AnomalyHeatmap
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


@pytest.mark.parametrize(
    ("parent", "multiplier", "expected"),
    [
        (RXGlobal(), None, 1 + 2 * 2 / 3**0.5),  # scores 0, 2, 0, 2: mean 1, variance 4/3
        (RXLogitHead(), None, 0.0),  # the probability ½
        (RXLogitHead(), 1.0, 1 + 2 / 3**0.5),
        (TailCalibrator(), None, 4.5),
        (TailCalibrator(), 0.0, 1.0),
    ],
)
def test_what_is_detected_is_above_the_parents_own_threshold(parent, multiplier, expected):
    if isinstance(parent, TailCalibrator):
        parent.set_state(threshold=torch.tensor([4.5]))
    heatmap, moments = AnomalyHeatmap(threshold_multiplier=multiplier), ChannelMoments()
    scores = torch.tensor([0.0, 2.0, 0.0, 2.0]).view(1, 1, 2, 2)
    moments.update(scores.view(4, 1))
    heatmap.collect(View(parent, {Read.OUTPUT: scores}), {"cube": torch.rand(1, 5, 2, 2)})
    [picture] = heatmap.draw(parent, {"scores": moments})
    assert float(picture.data["threshold"]) == pytest.approx(expected, rel=1e-6)
