"""Bands travel with the graph, and other bands are refused or matched."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.errors import GraphError
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.training.config import TrainerConfig, TrainingConfig

STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
NM = np.linspace(450, 850, 9)


def scene(folder: Path, name: str = "scene.npy", c: int = 9) -> Path:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(20, 30, c)) @ generator.normal(size=(c, c)) + 50
    np.save(folder / name, values.astype(np.float32))
    return folder / name


def trained(folder: Path) -> Graph:
    graph = Graph()
    graph.add_node(TrainablePCA(3))
    graph.train(
        SceneTiles(scene(folder), tile=10, wavelengths=NM.tolist(), bad_bands=[2, 5]), STATISTICS_ONLY
    )
    return graph


def test_bands_are_remembered_and_saved(tmp_path: Path) -> None:
    graph = trained(tmp_path)
    graph.save_to_file(tmp_path / "graph.zip")
    for one in (graph, Graph.load_from_file(tmp_path / "graph.zip")):
        assert one.bands.indices == (0, 1, 3, 4, 6, 7, 8)
        assert one.bands.wavelengths == pytest.approx(np.delete(NM, [2, 5]))


def test_other_bands_are_refused_with_both_lists(tmp_path: Path) -> None:
    graph = trained(tmp_path)
    assert graph.bands.wavelengths is not None
    cube = torch.rand(1, 7, 4, 4)
    assert graph(cube, wavelengths=graph.bands.wavelengths).output.shape == (1, 3, 4, 4)
    with pytest.raises(
        GraphError, match=r"expected the 7 bands of training, \[450.0, .*850.0\] nm; got 7, \[451.5"
    ):
        graph(cube, wavelengths=[nm + 1.5 for nm in graph.bands.wavelengths])
    other = SceneTiles(tmp_path / "scene.npy", tile=10, wavelengths=NM.tolist(), bad_bands=[1, 5])
    with pytest.raises(GraphError, match="data module: expected the 7 bands of training"):
        graph.train(other, STATISTICS_ONLY)
    with pytest.raises(GraphError, match="data module: expected the 7 bands of training"):
        graph.evaluate(other)


def test_nearest_bands_are_taken_when_asked(tmp_path: Path) -> None:
    graph = trained(tmp_path)
    finer = np.linspace(440, 860, 43)
    cube = torch.rand(2, 43, 4, 4)
    picked = [int(np.abs(finer - nm).argmin()) for nm in np.delete(NM, [2, 5])]
    expected = graph(cube[:, picked]).output
    assert torch.equal(graph(cube, wavelengths=finer, match_bands=True).output, expected)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match=r"got none for \[450.0"):
        graph(cube[:, 10:], wavelengths=finer[10:], match_bands=True)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="the cube has none"):
        graph(cube, match_bands=True)
    with pytest.raises(GraphError, match="the graph has none"):
        TrainedBands().nearest(finer)


def test_shift_by_one_band_of_a_fine_sensor_is_refused_and_matched_to_itself() -> None:
    """0.64 nm apart: 1 nm would take a neighbour for the same band."""
    centres = 400 + 0.64 * np.arange(30)
    bands = TrainedBands.of(centres, None)
    bands.check(torch.from_numpy(centres + 0.3), "cube")
    with pytest.raises(GraphError, match=r"cube: expected the 30 bands of training, .*…"):
        bands.check(torch.from_numpy(centres + 0.64), "cube")
    assert bands.nearest(torch.from_numpy(centres + 0.3).flip(0)) == list(range(29, -1, -1))


@pytest.mark.parametrize(
    ("trained_nm", "given", "expected"),
    [
        (
            [500.0, 500.0, 600.0],
            [600.0, 500.0, 500.0],
            {0: {1, 2}, 1: {1, 2}, 2: {0}},
        ),  # overlapping detectors
        (
            [500.0, 510.0, 700.0],
            [503.0, 512.0, 660.0],
            {0: {0}, 1: {1}, 2: {2}},
        ),  # wide where bands are sparse
        ([500.0], [500.4], {0: {0}}),
    ],
)
def test_bands_are_matched_one_to_one_within_half_the_way_to_the_next(
    trained_nm: list[float], given: list[float], expected: dict[int, set[int]]
) -> None:
    found = TrainedBands.of(trained_nm, None).nearest(given)
    assert len(set(found)) == len(found)
    assert all(band in expected[i] for i, band in enumerate(found))


@pytest.mark.parametrize("given", [[500.0, 506.0], [500.0, 500.1], [504.0]])
def test_band_without_a_partner_of_its_own_is_refused(given: list[float]) -> None:
    with pytest.raises(GraphError, match="one of its own within half the way"):
        TrainedBands.of([500.0, 520.0], None).nearest(given)


def test_statistics_of_a_scene_with_no_data_and_dead_bands_are_those_of_its_good_part(tmp_path: Path) -> None:
    """30 % of no-data border and 5 dead bands change nothing, to 1e-10."""
    generator = np.random.default_rng(1)
    good = generator.normal(size=(40, 35, 12)) @ generator.normal(size=(12, 12)) * 100 + 1e4
    dead = [0, 3, 7, 10, 16]
    kept = [band for band in range(17) if band not in dead]
    wide = np.zeros((40, 50, 17), np.float32)
    wide[:, 5:40, kept] = good
    wide[:, 5:40, dead] = 65535
    np.save(tmp_path / "wide.npy", wide)
    np.save(tmp_path / "good.npy", good.astype(np.float32))
    graph = Graph().to(torch.float64)
    rx = graph.add_node(RXGlobal())
    tiles = SceneTiles(tmp_path / "wide.npy", tile=16, bad_bands=dead, no_data=0.0, fractions=(1.0, 0.0, 0.0))
    graph.train(tiles, STATISTICS_ONLY)
    pixels = good.astype(np.float32).reshape(-1, 12).astype(np.float64)
    # The node's own state is float32; its float64 sketch is what the statement is about.
    covariance = np.cov(pixels, rowvar=False)
    np.testing.assert_allclose(rx.cov, covariance.astype(np.float32), rtol=1e-6)
    from cuvis_ai.functional.affine import pixels_of
    from cuvis_ai.stats import Moments

    moments = Moments()
    for batch in tiles.statistics_dataloader():
        moments.update(pixels_of(batch["cube"]), batch["valid"].flatten() if "valid" in batch else None)
    assert moments.count == len(pixels)
    np.testing.assert_allclose(moments.mean, pixels.mean(0), rtol=1e-12)
    assert np.abs(moments.covariance().numpy() - covariance).max() / np.abs(covariance).max() < 1e-10


def test_more_bands_without_wavelengths_are_cut_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = Graph()
    graph.add_node(TrainablePCA(3))
    graph.train(SceneTiles(scene(tmp_path), tile=10), STATISTICS_ONLY)
    graph(scene(tmp_path))
    assert "without wavelengths on both sides" not in caplog.text
    graph(scene(tmp_path, "other.npy", c=12))
    assert (
        "other.npy: has 12 bands, of which those at the positions of training, up to 8, are read"
        in caplog.text
    )
