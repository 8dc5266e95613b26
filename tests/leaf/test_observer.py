"""Sketches are taken once, at the furthest point that carries them, and read where they are meant."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.execution.execution import Execution
from cuvis_ai.leaf.observer import Observer
from cuvis_ai.leaf.reading import Truth
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.stats import (
    ChannelMoments,
    ChannelMomentsByClass,
    ClassCounts,
    Extrema,
    Moments,
    MomentsByClass,
    ScoreDistribution,
    Structure,
)
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.types import CUBE, Point
from tests.cubes import Batches, as_batches, random_cubes

STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))


@pytest.fixture(scope="module")
def graph() -> Graph:
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer(), name="norm")
    pca = graph.add_node(TrainablePCA(3), parent=norm, name="pca")
    graph.add_node(RXGlobal(), parent=pca, name="rx")
    graph.train(Batches(as_batches(random_cubes(8))), STATISTICS_ONLY)
    return graph


def observed(observer: Observer, execution: Execution, batches: list[dict[str, Any]]) -> None:
    for batch in batches:
        evaluation = execution.evaluate(batch["cube"], observer.points(), batch.get("valid"))
        observer.update(evaluation, batch)
    observer.finish()


def pixels_at(graph: Graph, name: str, cubes: torch.Tensor) -> torch.Tensor:
    return graph.run(cubes, [name])[name].double().permute(0, 2, 3, 1).flatten(0, 2)


def test_moments_of_a_chain_are_taken_of_the_cube_and_carried(graph: Graph) -> None:
    execution, cubes = graph._members.execution, random_cubes(5, seed=1)
    observer = Observer(execution)
    of_scores = observer.observe(("pca",), Moments)
    of_cube = observer.observe(CUBE, Moments)
    assert observer.points() == (CUBE,)
    observed(observer, execution, as_batches(cubes))
    assert observer.taken(of_scores) is observer.taken(of_cube), "one sketch serves both"
    found, pixels = observer.sketch(of_scores), pixels_at(graph, "pca", cubes)
    assert isinstance(found, Moments)
    torch.testing.assert_close(found.mean, pixels.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.covariance(), pixels.T.cov(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("point", "kind", "least", "base"),
    [
        (("norm",), Extrema, Structure.OPAQUE, CUBE),
        (("pca",), Extrema, Structure.OPAQUE, ("pca",)),
        (("pca",), ChannelMoments, Structure.OPAQUE, ("pca",)),
        (("pca",), Moments, Structure.OPAQUE, CUBE),
        (("pca",), Moments, Structure.CHANNELWISE, ("pca",)),
        (("rx",), Moments, Structure.OPAQUE, ("rx",)),
        (("norm",), ScoreDistribution, Structure.OPAQUE, ("norm",)),
    ],
)
def test_a_sketch_is_carried_only_by_maps_that_keep_it_exact(
    graph: Graph, point: Point, kind: Any, least: Structure, base: Point
) -> None:
    """Extrema and variances pass a channelwise map, not the PCA; nothing passes a detector."""
    assert Observer(graph._members.execution).observe(point, kind, least=least).base == base


def test_truth_reaches_those_who_ask_for_it(graph: Graph) -> None:
    execution, cubes = graph._members.execution, random_cubes(4, seed=2)
    mask = torch.zeros(4, 6, 5, dtype=torch.bool)
    mask[:, 2, 1:4] = True
    observer = Observer(execution)
    plain = observer.observe(CUBE, ChannelMoments)
    required = observer.observe(CUBE, ClassCounts, truth=Truth.REQUIRED)
    used = observer.observe(CUBE, ChannelMomentsByClass, truth=Truth.USED)
    batches = [*as_batches(cubes[:2], mask=mask[:2]), *as_batches(cubes[2:])]
    observed(observer, execution, batches)
    assert observer.sketch(plain).count == 4 * 30
    counts, by_class = observer.sketch(required), observer.sketch(used)
    assert isinstance(counts, ClassCounts)
    assert (counts.count, counts.positive) == (2 * 30, 6)
    assert isinstance(by_class, ChannelMomentsByClass)
    assert (by_class.normal.count, by_class.anomalous.count) == (4 * 30 - 6, 6)
    rare = cubes[:2].double().permute(0, 2, 3, 1)[mask[:2]]
    torch.testing.assert_close(by_class.anomalous.mean, rare.mean(0))
    torch.testing.assert_close(by_class.anomalous.variance(ddof=0), rare.var(0, correction=0))


def test_a_scatter_that_is_taken_by_class_is_not_taken_again(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    plain = Moments._second_of
    monkeypatch.setattr(Moments, "_second_of", staticmethod(lambda x: seen.append(len(x)) or plain(x)))
    cubes = random_cubes(4, seed=2)
    mask = torch.zeros(4, 6, 5, dtype=torch.bool)
    mask[:, 2, 1:4] = True
    observer = Observer(graph._members.execution)
    whole = observer.observe(CUBE, Moments)
    by_class = observer.observe(CUBE, MomentsByClass, truth=Truth.USED)
    observed(observer, graph._members.execution, as_batches(cubes, mask=mask))
    assert sum(seen) == 4 * 30
    moments, parted = observer.sketch(whole), observer.sketch(by_class)
    assert isinstance(moments, Moments)
    assert isinstance(parted, MomentsByClass)
    pixels = cubes.double().permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(moments.mean, pixels.mean(0))
    torch.testing.assert_close(moments.covariance(), pixels.T.cov())
    torch.testing.assert_close(parted.anomalous.covariance(), pixels[mask.flatten()].T.cov())


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set torch's threads for a while; were they only patched, the pool's threads would differ later."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layouts_threads_and_invalid_pixels_change_no_statistic(
    graph: Graph, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cuvis_ai.stats.blocks.LEAST_SHARE", 7)
    execution = graph._members.execution
    cubes = random_cubes(3, seed=3).contiguous(memory_format=layout)
    valid = torch.rand(3, 6, 5) > 0.3
    cubes[~valid[:, None].expand_as(cubes)] = torch.nan
    observer = Observer(execution)
    wanted = [observer.observe(CUBE, kind) for kind in (Moments, Extrema)]
    observed(observer, execution, [{"cube": cubes, "valid": valid}])
    moments, extrema = (observer.sketch(one) for one in wanted)
    assert isinstance(moments, Moments)
    assert isinstance(extrema, Extrema)
    pixels = cubes.double().permute(0, 2, 3, 1)[valid]
    assert moments.count == extrema.count == len(pixels)
    torch.testing.assert_close(moments.mean, pixels.mean(0))
    torch.testing.assert_close(moments.covariance(), pixels.T.cov())
    assert torch.equal(extrema.low, pixels.amin(0))
    assert torch.equal(extrema.high, pixels.amax(0))


def test_a_stream_without_pixels_gives_empty_sketches(graph: Graph) -> None:
    observer = Observer(graph._members.execution)
    wanted = observer.observe(("pca",), Moments)
    observer.finish()
    assert observer.sketch(wanted).count == 0
