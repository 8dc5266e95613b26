"""Equal spectra get equal scores, to the last bit, wherever they lie and whatever is beside or attached."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.masks import read_mask
from cuvis_ai.data.tiles import tile_windows
from cuvis_ai.node.base import structure_of
from cuvis_ai.node.decoder import PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.stats import Structure
from cuvis_ai.training.metrics import AnomalyDetectionMetrics, ExplainedVarianceMetric
from tests.cases import NODES, NodeCase
from tests.cubes import Batches, random_cubes
from tests.graphs import STATISTICS_ONLY
from tests.test_laws import fit, fitted

SIZES = [(1, 30, 30), (1, 7, 13), (3, 1, 13), (1, 1, 1)]
"""Whole scenes, tiles, strips, batches, a pixel: (b, h, w)."""

DISTINCT = 20
"""Different spectra, each of which occurs many times."""


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def shuffled(spectra: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield cubes of these spectra (n, c) in any order, in both memory layouts, and which one each pixel has."""
    generator = torch.Generator().manual_seed(1)
    for b, h, w in SIZES:
        chosen = torch.randint(len(spectra), (b, h, w), generator=generator)
        cube = spectra[chosen].permute(0, 3, 1, 2)
        yield cube.contiguous(memory_format=torch.channels_last), chosen
        yield cube.contiguous(), chosen


def assert_one_value_each(graph: Graph, spectra: Tensor, outputs: list[list[str]]) -> None:
    """Every node's output depends on the spectrum alone, whatever else is asked for, with gradients or not.

    All but the first of `outputs` are computed with gradients, too.
    """
    first: dict[str, Tensor] = {}
    for cube, chosen in shuffled(spectra):
        for gradients in (False, True):
            for names in outputs[gradients:]:
                with torch.set_grad_enabled(gradients):
                    found = graph.run(cube, names)
                for name, output in found.items():
                    rows = output.detach().movedim(1, -1)
                    if name not in first:
                        assert len(chosen.unique()) == len(spectra)
                        first[name] = torch.stack([rows[chosen == i][0] for i in range(len(spectra))])
                    assert torch.equal(rows, first[name][chosen]), (name, names, tuple(cube.shape))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("case", NODES, ids=str)
def test_of_every_node(case: NodeCase) -> None:
    graph = Graph()
    node = graph.add_node(fitted(case), name="node")
    if structure_of(node) is Structure.OPAQUE:
        pytest.skip("depends on other pixels of its cube")
    spectra = random_cubes(1, case.channels, DISTINCT, 1, seed=1)[0, :, :, 0].T
    assert_one_value_each(graph, spectra, [["node"], ["node"]])
    node.prepare_for_train()
    assert_one_value_each(graph, spectra, [["node"], ["node"]])


def chain(k: int, channels: int) -> tuple[Graph, Tensor]:
    """Return a fitted graph with k components, and spectra."""
    graph, cubes = Graph(), random_cubes(8, channels, 10, 10)
    norm, pca, rx, joint = MinMaxNormalizer(), TrainablePCA(k, trainable=True), RXGlobal(), RXGlobal(eps=1e-3)
    fit(graph.add_node(norm, name="norm"), cubes)
    fit(graph.add_node(pca, parent="norm", name="pca"), norm(cubes))
    fit(graph.add_node(rx, parent="pca", name="rx"), pca(norm(cubes)))
    fit(
        graph.add_node(joint, parent=["pca", "norm"], name="joint"),
        torch.cat([pca(norm(cubes)), norm(cubes)], 1),
    )
    graph.add_node(PCADecoder("pca"), parent="pca", name="decoder")
    return graph, random_cubes(1, channels, DISTINCT, 1, seed=1)[0, :, :, 0].T


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("k", range(1, 17))
def test_of_every_number_of_components_whatever_else_is_computed(k: int) -> None:
    graph, spectra = chain(k, 21)
    assert_one_value_each(graph, spectra, [["rx"], ["norm", "pca", "rx", "decoder", "joint"]])


@pytest.mark.usefixtures("threads")
def test_of_many_channels() -> None:
    graph, spectra = chain(10, 200)
    assert_one_value_each(graph, spectra, [["rx"], ["pca", "rx", "joint"]])


class Scene:
    """A real scene with its mask, and how it is cut."""

    def __init__(self, path: Path) -> None:
        values = read_cube(path, key="data").values[:].astype(np.float32)
        self.cube = torch.from_numpy(values).permute(2, 0, 1)[None]
        self.mask = torch.from_numpy(np.asarray(read_mask(path, values.shape[:2], key="map")).astype(bool))[
            None
        ]

    def cut(self, tile: tuple[int, int]) -> list[dict[str, Tensor]]:
        windows = tile_windows(*self.mask.shape[1:], tile)
        return [
            {"cube": self.cube[..., rows, columns], "mask": self.mask[..., rows, columns]}
            for rows, columns in (window.slices for window in windows)
        ]


def test_average_precision_of_a_real_scene_is_that_of_its_tiles(scenes: Path) -> None:
    scene = Scene(scenes / "abu-urban-2.mat")
    graph = Graph()
    graph.add_node(MinMaxNormalizer(), name="norm")
    graph.add_node(TrainablePCA(10), parent="norm", name="pca")
    graph.add_node(RXGlobal(), parent="pca", name="rx")
    graph.train(Batches(scene.cut((100, 100))), STATISTICS_ONLY)
    graph.add_leaf_node(AnomalyDetectionMetrics(), parent="rx")
    found = [_values(graph, scene.cut(tile)) for tile in ((100, 100), (7, 13), (9, 100))]
    graph.add_leaf_node(ExplainedVarianceMetric(), parent="pca")
    found += [_values(graph, scene.cut(tile)) for tile in ((100, 100), (64, 64))]
    for measure in ("auroc", "average_precision", "f1_max", "f1_max_threshold"):
        assert len({values[f"test/metric/anomaly_{measure}"] for values in found}) == 1, measure


def _values(graph: Graph, batches: list[dict[str, Tensor]]) -> dict[str, float]:
    return graph.evaluate(Batches((), (), batches), "test", STATISTICS_ONLY)
