"""Statistics of shares, merged from files, are those of one run over all data."""

from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cuvis_ai.anomaly.robust_rx import RobustRX
from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.saving.sketch_file import read_sketches
from cuvis_ai.stats import Moments
from cuvis_ai.stats.sketch_record import from_record
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    for i in range(11):
        cube = np.random.default_rng(i).normal(size=(7, 5 + i, 6)) * [1, 2, 3, 4, 5, 50] + 1000 + i
        np.save(tmp_path / f"{i:02d}.npy", cube.astype(np.float32))
    return sorted(tmp_path.glob("*.npy"))


def detector() -> Graph:
    """MinMax → PCA → RX, which are one pass, and a tail that needs a second."""
    graph = Graph("detector")
    norm = graph.add_node(MinMaxNormalizer())
    pca = graph.add_node(TrainablePCA(3), parent=norm)
    rx = graph.add_node(RXGlobal(), parent=pca)
    graph.add_node(TailCalibrator(), parent=rx)
    return graph


def sketched(graph: Graph, scenes: list[Path], folder: Path, n: int) -> list[Path]:
    return [
        graph.sketch(SceneList(scenes), folder / f"{n}_{i}.safetensors", shard=(i, n))
        for i in range(1, n + 1)
    ]


@pytest.mark.parametrize("n", [1, 8])
def test_shares_of_any_number_give_the_state_of_one_run(n: int, scenes: list[Path], tmp_path: Path) -> None:
    whole = detector()
    whole.train(SceneList(scenes), STATISTICS_ONLY)
    shared = detector()
    assert shared.fit_from(sketched(shared, scenes, tmp_path, n)) == ["tail_calibrator"]
    assert shared.fit_from(sketched(shared, scenes, tmp_path, n)[::-1]) == []
    wanted, found = whole.state_dict(), shared.state_dict()
    assert wanted.keys() == found.keys()
    cube = torch.from_numpy(np.load(scenes[0])).permute(2, 0, 1)[None]
    torch.testing.assert_close(shared(cube).output, whole(cube).output, rtol=1e-5, atol=1e-5)


def test_merged_moments_agree_to_rounding(scenes: list[Path], tmp_path: Path) -> None:
    pixels = np.concatenate([np.load(scene).reshape(-1, 6) for scene in scenes]).astype(np.float64)
    scatter = np.cov(pixels, rowvar=False) * (len(pixels) - 1)
    graph = Graph("rx")
    graph.add_node(RXGlobal())
    merged = []
    for n in (1, 8):
        records, _ = read_sketches(sketched(graph, scenes, tmp_path, n), graph._identity())
        shares = [from_record(Moments(), record["rx_global"]) for record in records]
        merged.append(reduce(lambda a, b: a.merge(b), shares))
    for one in merged:
        assert isinstance(one, Moments)
        assert one.count == len(pixels)
        np.testing.assert_allclose(one.mean, pixels.mean(0), rtol=1e-14)
        np.testing.assert_allclose(one.second, scatter, rtol=1e-12, atol=1e-12 * scatter.max())


def test_shares_of_a_plain_loader_are_merged_too(tmp_path: Path) -> None:
    cubes = random_cubes(8)
    data = Batches(as_batches(cubes, 2))
    graph, whole = Graph("rx"), Graph("rx")
    graph.add_node(RXGlobal())
    whole.add_node(RXGlobal())
    whole.train(data, STATISTICS_ONLY)
    files = [graph.sketch(data, tmp_path / f"{i}.safetensors", shard=(i, 3)) for i in (1, 2, 3)]
    assert graph.fit_from(files) == []
    torch.testing.assert_close(graph(cubes).output, whole(cubes).output, rtol=1e-5, atol=1e-6)


def test_misfits_are_refused_and_leave_the_graph_unfitted(scenes: list[Path], tmp_path: Path) -> None:
    graph = detector()
    files = sketched(graph, scenes, tmp_path, 2)
    with pytest.raises(GraphError, match=r"each share of one division once, got \[1, 1\] of \[2\]"):
        graph.fit_from([files[0], files[0]])
    with pytest.raises(GraphError, match=r"got \[1\] of \[2\]"):
        graph.fit_from(files[:1])
    other = Graph("other")
    other.add_node(RXGlobal())
    with pytest.raises(GraphError, match="expected statistics of this graph"):
        other.fit_from(files)
    with pytest.raises(ConfigError, match="i from 1 to n"):
        graph.sketch(SceneList(scenes), tmp_path / "x", shard=(3, 2))
    assert not any(node.fitted for node in graph.nodes.values())
    assert graph.fit_from(files) == ["tail_calibrator"]
    with pytest.raises(GraphError, match="expected statistics of this graph"):
        graph.fit_from(files)


def test_tensors_of_other_names_kinds_and_shapes_are_refused(scenes: list[Path], tmp_path: Path) -> None:
    graph = Graph("rx")
    graph.add_node(RXGlobal())
    (file,) = sketched(graph, scenes, tmp_path, 1)
    tensors = load_file(file)
    with safe_open(file, framework="pt") as opened:
        header = opened.metadata()
    for change in (
        {"rx_global/mean": tensors["rx_global/mean"].float()},
        {"rx_global/surplus": torch.zeros(1)},
        {"rx_global/second": torch.zeros(2)},
    ):
        save_file(tensors | change, tmp_path / "changed", header)
        with pytest.raises(GraphError):
            graph.fit_from([tmp_path / "changed"])
        assert not graph.nodes["rx_global"].fitted


def test_nodes_that_need_the_data_themselves_are_refused(scenes: list[Path], tmp_path: Path) -> None:
    graph = Graph("robust")
    graph.add_node(RobustRX())
    with pytest.raises(GraphError, match=r"RobustRX `robust_rx`.*Fit it with `graph.train`"):
        graph.sketch(SceneList(scenes), tmp_path / "part")
