"""The ready graphs: properties that hold for any scene, and what they find in real ones."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.masks import read_mask
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.errors import ConfigError
from cuvis_ai.execution.strips import strips
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipelines import unsupervised
from tests.cubes import Batches
from tests.graphs import STATISTICS_ONLY

FLOORS = {
    "abu-airport-4.mat": 0.984,
    "abu-urban-2.mat": 0.997,
    "hydice-urban-175.mat": 0.995,
    "muufl-gulfport-v73.mat": 0.993,
}
"""Areas that the specification asks for."""


def synthetic(h: int = 60, w: int = 50, c: int = 40, *, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A scene of smooth fields with noise, and a few compact targets; raw counts, as sensors give them."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 5, h // 10 + 1, w // 10 + 1, generator=generator, dtype=torch.float64)
    fields = torch.nn.functional.interpolate(coarse, size=(h, w), mode="bilinear")
    spectra = torch.rand(5, c, generator=generator, dtype=torch.float64).cumsum(1)
    cube = torch.einsum("bkhw,kc->bchw", fields, spectra) * 100
    cube = cube + torch.randn(1, c, h, w, generator=generator, dtype=torch.float64) * 5
    target = torch.rand(c, generator=generator, dtype=torch.float64) * 200
    for y, x in ((h // 4, w // 3), (h // 2, w // 2), (2 * h // 3, w // 5)):
        cube[0, :, y : y + 3, x : x + 3] += target[:, None, None]
    return cube.to(dtype).contiguous(memory_format=torch.channels_last)


def fitted(
    cube: torch.Tensor,
    extent: int | None = 13,
    components: int | None = 32,
    dtype: torch.dtype = torch.float32,
    **flags: Any,
) -> Graph:
    graph = unsupervised(extent, components).to(dtype)
    graph.train(Batches([{"cube": cube, **flags}]), STATISTICS_ONLY)
    return graph


def score(graph: Graph, cube: torch.Tensor, **flags: Any) -> torch.Tensor:
    """S, which the calibrator puts into other units."""
    return graph.run(cube, ["score"], **flags)["score"]


def assert_alike(scores: torch.Tensor, reference: torch.Tensor) -> None:
    """To 1e-5 of the standard deviation in the median, to 1e-4 at most."""
    off = (scores.double() - reference.double()).abs() / reference.double().std()
    assert float(off.median()) <= 1e-5, float(off.median())
    assert float(off.max()) <= 1e-4, float(off.max())


def test_passes_halo_and_nodes() -> None:
    data = Batches([{"cube": synthetic()}])
    graph = unsupervised()
    graph.train(data, STATISTICS_ONLY)
    assert data.sets["train"].reads == 3
    assert graph.halo == 2 + 12 + 2
    assert list(graph.nodes) == ["pca", "rx", "smoothed", "top_hat", "guide", "score", "calibrated"]
    assert len(graph.nodes["pca"].components) == 32


def test_float32_agrees_with_float64() -> None:
    cube = synthetic()
    assert_alike(score(fitted(cube), cube), score(fitted(cube.double(), dtype=torch.float64), cube.double()))


@pytest.mark.parametrize(("scale", "offset"), [(1e-4, 0.0), (3.0, 1000.0)])
def test_one_scale_and_offset_of_all_bands_change_nothing(scale: float, offset: float) -> None:
    cube = synthetic()
    other = cube * scale + offset
    assert_alike(score(fitted(other), other), score(fitted(cube), cube))


def test_repeats_are_bit_equal() -> None:
    cube = synthetic()
    first, second = fitted(cube), fitted(cube)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    assert torch.equal(first(cube).output, second(cube).output)


def test_scoring_in_strips_with_the_halo_equals_scoring_the_whole() -> None:
    cube = synthetic(h=90)
    valid = torch.rand(1, 90, 50) < 0.97
    graph = fitted(cube, valid=valid)
    whole = score(graph, cube, valid=valid)
    parts = []
    for strip in strips({"cube": cube, "valid": valid}, graph.halo or 0, pixels=50 * 20):
        inside = score(graph, strip["cube"], valid=strip["valid"])[:, :, strip["core"][0].any(1)]
        parts.append(inside)
    joined = torch.cat(parts, 2)
    assert len(parts) == 5
    assert torch.equal(joined.isnan(), whole.isnan())
    assert_alike(joined[~whole.isnan()], whole[~whole.isnan()])


@pytest.mark.parametrize("tile", [40, (17, 50)])
def test_fitting_and_evaluating_in_tiles_equals_the_whole(tmp_path: Path, tile: Any) -> None:
    cube = synthetic()
    np.save(tmp_path / "scene.npy", cube[0].permute(1, 2, 0).numpy())
    graph, reference = unsupervised(), fitted(cube)
    graph.train(SceneTiles(tmp_path / "scene.npy", tile=tile, fractions=(1, 0, 0)), STATISTICS_ONLY)
    assert_alike(score(graph, cube), score(reference, cube))
    torch.testing.assert_close(graph.nodes["calibrated"].rate, reference.nodes["calibrated"].rate)


def test_fitting_in_strips_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    cube = synthetic()
    reference = fitted(cube)
    monkeypatch.setattr(
        "cuvis_ai.training.engine.statistics.strips",
        lambda batch, context: strips(batch, context, pixels=700),
    )
    assert_alike(score(fitted(cube), cube), score(reference, cube))


def test_any_split_into_batches_gives_one_result() -> None:
    cubes = torch.cat([synthetic(c=12), synthetic(c=12).flip(3), synthetic(c=12).flip(2)])
    graphs = []
    for size in (1, 2, 3):
        graph = unsupervised()
        batches = [{"cube": cubes[i : i + size]} for i in range(0, 3, size)]
        graph.train(Batches(batches), STATISTICS_ONLY)
        graphs.append(graph)
    for graph in graphs[1:]:
        assert_alike(score(graph, cubes), score(graphs[0], cubes))


def test_invalid_pixels_enter_nothing_and_come_out_as_nan() -> None:
    cube = synthetic()
    valid = torch.rand(1, 60, 50) < 0.9
    outputs = []
    for junk in (0.0, 1e6):
        spoilt = torch.where(valid[:, None], cube, junk)
        graph = fitted(spoilt, valid=valid)
        outputs.append(graph(spoilt, valid=valid).output)
    spoilt = torch.where(valid[:, None], cube, torch.nan)
    graph = fitted(spoilt)
    outputs.append(graph(spoilt).output)
    for output in outputs:
        assert torch.equal(output.isnan()[:, 0], ~valid)
        assert_alike(output[valid[:, None]], outputs[0][valid[:, None]])


@pytest.mark.parametrize(
    "shape", [(1, 20, 15), (2, 20, 15), (40, 5, 4), (40, 1, 30), (40, 30, 1), (40, 1, 2)], ids=str
)
def test_few_bands_few_pixels_and_scenes_smaller_than_the_extent(shape: tuple[int, int, int]) -> None:
    cube = torch.randn(1, *shape).contiguous(memory_format=torch.channels_last)
    output = fitted(cube)(cube).output
    assert output.shape == (1, 1, *shape[1:])
    assert bool(output.isfinite().all())


def test_a_scene_without_contrast() -> None:
    cube = torch.full((1, 8, 30, 30), 4.0)
    assert bool((fitted(cube)(cube).output == 0).all())


def test_gradients_in_float64() -> None:
    cube = synthetic(12, 10, 6, dtype=torch.float64)
    graph = fitted(cube, extent=5, dtype=torch.float64)
    shapes = {name: graph.nodes["pca"].components for name in ("components",)}
    weight = torch.randn(12, 10, dtype=torch.float64)
    components = shapes["components"].clone().requires_grad_()
    pca = graph.nodes["pca"]
    pca.trainable = True
    pca.prepare_for_train()

    def loss() -> torch.Tensor:
        return (graph(cube).output[0, 0] * weight).mean()

    (gradient,) = torch.autograd.grad(loss(), pca.components)
    direction, step = torch.randn_like(components), 1e-6
    direction = direction / direction.norm()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            pca.components.copy_(shapes["components"] + sign * step * direction)
        values.append(loss().item())
    expected = (values[0] - values[1]) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-4)


def test_arguments_reach_the_nodes() -> None:
    graph = unsupervised(extent=21, n_components=5, false_alarm_rate=1e-2)
    assert graph.nodes["rx"].extent == graph.nodes["top_hat"].extent == 21
    assert graph.nodes["pca"].n_components == 5
    assert graph.leaves["threshold"].value == pytest.approx(math.log(10))
    assert "top_hat" not in unsupervised(extent=None).nodes
    assert unsupervised(extent=None).nodes["rx"].reweight == 0
    every = fitted(synthetic(c=40), components=None)
    assert len(every.nodes["pca"].components) == 40
    assert unsupervised(false_alarm_rate=0.3).leaves["threshold"].rule == "quantile"
    with pytest.raises(ConfigError, match="odd"):
        unsupervised(extent=12)


def test_it_survives_saving(tmp_path: Path) -> None:
    cube = synthetic()
    graph = fitted(cube)
    graph.save_to_file(tmp_path / "detector.zip")
    loaded = Graph.load_from_file(tmp_path / "detector.zip")
    assert torch.equal(loaded(cube).output, graph(cube).output)
    assert loaded.halo == graph.halo


@pytest.fixture(scope="module", params=sorted(FLOORS))
def real(request: pytest.FixtureRequest, scenes: Path) -> tuple[str, torch.Tensor, np.ndarray]:
    path = scenes / request.param
    key = "groundtruth" if "muufl" in request.param else "map"
    values = np.asarray(read_cube(path, "data").values[:]).astype(np.float32)
    cube = torch.from_numpy(values)[None].permute(0, 3, 1, 2)
    return request.param, cube, np.asarray(read_mask(path, values.shape[:2], key=key)).astype(bool)


def area(mask: np.ndarray, scores: torch.Tensor) -> float:
    return float(roc_auc_score(mask.ravel(), scores.numpy().ravel()))


def test_areas_on_real_scenes(real: tuple[str, torch.Tensor, np.ndarray]) -> None:
    name, cube, mask = real
    assert area(mask, score(fitted(cube), cube)) >= FLOORS[name]


def test_a_border_and_a_corner_without_data_change_little(real: tuple[str, torch.Tensor, np.ndarray]) -> None:
    _, cube, mask = real
    whole = score(fitted(cube), cube)
    valid = torch.zeros(1, *mask.shape, dtype=torch.bool)
    valid[:, 8:-8, 8:-8] = True
    valid[:, :30, :30] = False
    inside = valid[0].numpy()
    scores = score(fitted(cube, valid=valid), cube, valid=valid)
    difference = area(mask[inside], scores[:, 0][valid]) - area(mask[inside], whole[:, 0][valid])
    assert abs(difference) <= 0.002


def test_scale_and_precision_on_real_scenes(real: tuple[str, torch.Tensor, np.ndarray]) -> None:
    _, cube, _ = real
    reference = score(fitted(cube.double(), dtype=torch.float64), cube.double())
    assert_alike(score(fitted(cube), cube), reference)
    other = cube * 3 + cube.mean()
    assert_alike(score(fitted(other), other), reference)
