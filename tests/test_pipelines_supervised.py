"""The ready graph for who has masks: its definition, its properties, and what it finds in real scenes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.masks import read_mask
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.errors import GraphError
from cuvis_ai.functional.detection import Ranking
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipelines import supervised
from tests.cubes import Batches
from tests.graphs import STATISTICS_ONLY, settings
from tests.test_pipelines import assert_alike, synthetic

CUBE = synthetic()
MASK = torch.zeros(1, 60, 50, dtype=torch.bool)
for top, left in ((15, 16), (30, 25), (40, 10)):  # where `synthetic` plants its targets
    MASK[0, top : top + 3, left : left + 3] = True


def fitted(graph: Graph, cube: torch.Tensor = CUBE, **flags: Any) -> Graph:
    graph.train(Batches([{"cube": cube, "mask": MASK, **flags}]), STATISTICS_ONLY)
    return graph


def test_it_is_fitted_in_three_passes_and_looks_as_far_as_its_anomaly_branch() -> None:
    data = Batches([{"cube": CUBE, "mask": MASK}])
    graph = supervised()
    graph.train(data, STATISTICS_ONLY)
    assert data.sets["train"].reads == 3
    assert graph.halo == 2 + 12 + 2


def test_the_logit_is_the_linear_discriminant_of_the_two_branches() -> None:
    graph = fitted(supervised())
    outputs = {
        name: cube.double().numpy().ravel() for name, cube in graph.run(CUBE, ["target", "score"]).items()
    }
    z = {name: (x - x.mean()) / x.std(ddof=1) for name, x in outputs.items()}
    f, truth = z["target"] + z["score"] / 2, MASK.numpy().ravel()
    m0, m1 = f[~truth].mean(), f[truth].mean()
    pooled = (((f[~truth] - m0) ** 2).sum() + ((f[truth] - m1) ** 2).sum()) / (len(f) - 2)
    expected = (m1 - m0) / pooled * (f - (m0 + m1) / 2)
    np.testing.assert_allclose(graph(CUBE).output.numpy().ravel(), expected, atol=1e-4 * expected.std())


def test_float32_agrees_with_float64() -> None:
    double = fitted(supervised().to(torch.float64), CUBE.double())
    assert_alike(fitted(supervised())(CUBE).output, double(CUBE.double()).output)


def test_invalid_pixels_enter_nothing_and_come_out_as_nan() -> None:
    valid = torch.rand(1, 60, 50) < 0.9
    outputs = []
    for junk in (0.0, 1e6, torch.nan):
        spoilt = torch.where(valid[:, None], CUBE, junk)
        outputs.append(fitted(supervised(), spoilt, valid=valid)(spoilt, valid=valid).output)
        assert torch.equal(outputs[-1].isnan()[:, 0], ~valid)
        assert_alike(outputs[-1][valid[:, None]], outputs[0][valid[:, None]])


@pytest.mark.parametrize("tile", [40, (17, 50)])
def test_fitting_in_tiles_equals_the_whole(tmp_path: Path, tile: Any) -> None:
    np.save(tmp_path / "scene.npy", CUBE[0].permute(1, 2, 0).numpy())
    np.save(tmp_path / "mask.npy", MASK[0].numpy())
    graph = supervised()
    tiles = SceneTiles(tmp_path / "scene.npy", mask=tmp_path / "mask.npy", tile=tile, fractions=(1, 0, 0))
    graph.train(tiles, STATISTICS_ONLY)
    assert_alike(graph(CUBE).output, fitted(supervised())(CUBE).output)


def test_without_masks_it_says_so() -> None:
    with pytest.raises(GraphError, match=r"training masks, got 0 .*: no batch has a `mask`, or none a"):
        supervised().train(Batches([{"cube": CUBE}]), STATISTICS_ONLY)
    with pytest.raises(GraphError, match="expected anomalous and normal pixels in the training masks"):
        fitted(supervised(), mask=torch.zeros_like(MASK))
    with pytest.raises(GraphError, match="0 anomalous of 0 valid pixels: .* or none a valid pixel"):
        fitted(supervised(), torch.full_like(CUBE, torch.nan))


def test_a_given_signature_is_that_of_the_ace_node() -> None:
    spectrum = CUBE[0, :, 16, 17].tolist()
    graph = fitted(supervised(signature=spectrum))
    found = graph.run(CUBE, ["ace"])["ace"]
    assert int(found.flatten().argmax()) == 16 * 50 + 17


def test_gradients_reach_what_they_are_to_train() -> None:
    doubtful = MASK.clone()
    doubtful[0, 5, ::10] = True  # pixels like others: so the classes cannot be parted
    graph = fitted(supervised(features=3, train_signature=True), mask=doubtful)
    before = {name: value.clone() for name, value in graph.state_dict().items()}
    # Whether it is kept is decided on cubes with both classes.
    data = Batches(*[[{"cube": CUBE, "mask": doubtful}]] * 2)
    graph.train(data, settings(2, lr=1e-4))
    after = graph.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    trained = {f"nodes.logit_head.{state}" for state in ("feature_weights", "log_scale", "bias")}
    assert changed == {*trained, "nodes.ace.signature_direction"}
    assert bool(
        (after["nodes.logit_head.feature_weights"] != before["nodes.logit_head.feature_weights"]).all()
    )


def test_it_survives_saving(tmp_path: Path) -> None:
    graph = fitted(supervised(features=2))
    graph.save_to_file(tmp_path / "detector.zip")
    loaded = Graph.load_from_file(tmp_path / "detector.zip")
    assert torch.equal(loaded(CUBE).output, graph(CUBE).output)


@pytest.mark.parametrize("shape", [(1, 20, 15), (2, 20, 15), (40, 5, 4), (40, 1, 30)], ids=str)
def test_few_bands_few_pixels_and_scenes_smaller_than_the_extent(shape: tuple[int, int, int]) -> None:
    cube = torch.randn(1, *shape)
    mask = torch.zeros(1, *shape[1:], dtype=torch.bool)
    mask[0, 0, :2] = True
    cube[0, :, 0, :2] += 8.0
    assert bool(fitted(supervised(), cube, mask=mask)(cube).output.isfinite().all())


# The protocol: halves of the shared scenes, each trained on and the other tested.

Half = tuple[torch.Tensor, torch.Tensor]


def halves(path: Path) -> tuple[Half, Half]:
    values = np.asarray(read_cube(path).values[:]).astype(np.float32)
    mask = torch.from_numpy(np.asarray(read_mask(path, values.shape[:2])).astype(bool))[None]
    cube = torch.from_numpy(values)[None].permute(0, 3, 1, 2)
    axis = 2 if min(int(part.sum()) for part in mask.split(mask.shape[2] // 2, 2)) >= 7 else 1
    size = mask.shape[axis] // 2
    (a, b), (y, z) = cube.split(size, axis + 1), mask.split(size, axis)
    return (a, y), (b, z)


def ranked(graph: Graph, half: Half) -> Ranking:
    truth, scores = half[1].numpy().ravel(), graph(half[0]).output.detach().numpy().ravel()
    return Ranking(float(roc_auc_score(truth, scores)), float(average_precision_score(truth, scores)))


def on_held_out_halves(scenes: Path, epochs: int) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision of each fold, at the start and after training."""
    start, trained = [], []
    for path in sorted(scenes.glob("*.mat")):
        pair = halves(path)
        for (cube, mask), test in (pair, pair[::-1]):
            data, graph = Batches([{"cube": cube, "mask": mask}]), supervised()
            graph.train(data, STATISTICS_ONLY)
            start.append(ranked(graph, test))
            if epochs:
                graph.train(data, settings(epochs))
                trained.append(ranked(graph, test))
    return np.array(start), np.array(trained)


def test_start_on_held_out_halves_of_real_scenes(scenes: Path) -> None:
    start, _ = on_held_out_halves(scenes, 0)
    assert len(start) == 8
    assert start[:, 0].mean() >= 0.985
    assert start[:, 1].mean() >= 0.80
    assert start[:, 0].min() >= 0.942


@pytest.mark.slow
def test_training_does_not_fall_below_the_start(scenes: Path) -> None:
    start, trained = on_held_out_halves(scenes, 30)
    assert (trained.mean(0) >= start.mean(0) - 0.001).all()
    assert (trained >= start - 0.01).all()
