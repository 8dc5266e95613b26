"""A graph after a choice of bands reads these alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.errors import GraphError
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction.scorer import scorer_of
from tests.data.files import write_envi
from tests.pipeline.prediction.conftest import STATISTICS_ONLY

NM = [400, 500, 600, 700, 800, 900]
UNITS = {"wavelength_units": "nm"}


def cube() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(1000, 1100, (20, 16, 6)).astype("f4")


def listed(nm: list[int]) -> str:
    return "{" + ",".join(map(str, nm)) + "}"


@pytest.fixture
def chooser(tmp_path: Path) -> Graph:
    (tmp_path / "train").mkdir()
    write_envi(tmp_path / "train" / "a.hdr", cube(), wavelength=listed(NM), **UNITS)
    graph = Graph("chooser")
    normalizer = graph.add_node(MinMaxNormalizer())
    selector = graph.add_node(SoftChannelSelector(3, init_method="uniform"), parent=normalizer)
    graph.add_node(RXGlobal(), parent=selector)
    graph.train(SceneTiles(tmp_path / "train" / "a.hdr", tile=10, fractions=(1, 0, 0)), STATISTICS_ONLY)
    return graph


def scores(graph: Graph, path: Path) -> np.ndarray:
    [prediction] = graph.predict(path)
    return np.asarray(prediction.scores).reshape(20, 16)


def test_only_the_chosen_bands_are_read(chooser: Graph, tmp_path: Path) -> None:
    _, bands = scorer_of(chooser._members.execution, "rx_global", chooser.bands)
    assert bands.positions(6, list(range(6)), [float(nm) for nm in NM], "scene") == [0, 2, 5]
    with torch.no_grad():
        expected = chooser(torch.from_numpy(cube()).permute(2, 0, 1)[None]).output[0, 0].numpy()
    np.testing.assert_allclose(scores(chooser, tmp_path / "train" / "a.hdr"), expected, rtol=1e-4, atol=1e-5)


def test_a_camera_of_these_bands_alone_will_do(chooser: Graph, tmp_path: Path) -> None:
    expected = scores(chooser, tmp_path / "train" / "a.hdr")
    write_envi(tmp_path / "b.hdr", cube()[:, :, [0, 2, 5]], wavelength=listed([400, 600, 900]), **UNITS)
    np.testing.assert_allclose(scores(chooser, tmp_path / "b.hdr"), expected, rtol=1e-6)
    write_envi(tmp_path / "c.hdr", cube()[:, :, [0, 1, 5]], wavelength=listed([400, 500, 900]), **UNITS)
    with pytest.raises(GraphError, match="expected the 6 bands of training"):
        scores(chooser, tmp_path / "c.hdr")


def test_validity_is_judged_by_the_needed_bands(chooser: Graph, tmp_path: Path) -> None:
    expected = scores(chooser, tmp_path / "train" / "a.hdr")
    holes = cube()
    holes[3, 4, 1] = np.nan
    write_envi(tmp_path / "b.hdr", holes, wavelength=listed(NM), **UNITS)
    np.testing.assert_allclose(scores(chooser, tmp_path / "b.hdr"), expected, rtol=1e-6)
    holes[3, 4, 2] = np.nan
    write_envi(tmp_path / "c.hdr", holes, wavelength=listed(NM), **UNITS)
    assert np.argwhere(np.isnan(scores(chooser, tmp_path / "c.hdr"))).tolist() == [[3, 4]]


def test_the_nearest_bands_are_those_of_the_chosen_ones(chooser: Graph) -> None:
    _, bands = scorer_of(chooser._members.execution, "rx_global", chooser.bands)
    assert bands.nearest([395.0, 480.0, 590.0, 930.0]) == [0, 2, 3]
    with pytest.raises(GraphError, match=r"got none for \[900\.0\]"):
        bands.nearest([395.0, 590.0, 2000.0])


def test_a_graph_that_is_called_with_a_file_reads_the_needed_bands_alone(
    chooser: Graph, tmp_path: Path
) -> None:
    expected = scores(chooser, tmp_path / "train" / "a.hdr")
    holes = cube()
    holes[3, 4, 1] = np.nan  # in no band that is needed
    for name, nm, values in (("b", NM, holes), ("c", [400, 600, 900], cube()[:, :, [0, 2, 5]])):
        write_envi(tmp_path / f"{name}.hdr", values, wavelength=listed(nm), **UNITS)
        found = chooser(tmp_path / f"{name}.hdr")
        np.testing.assert_allclose(found.output[0, 0], expected, rtol=1e-6)
        assert "valid" not in found.metadata
    # A node that sees all bands is given all of them.
    inside = chooser.run(tmp_path / "train" / "a.hdr", ["min_max_normalizer"])
    assert inside["min_max_normalizer"].shape[1] == 6


def test_gradients_reach_the_weights_of_a_graph_that_is_called_with_a_file(
    chooser: Graph, tmp_path: Path
) -> None:
    selector = chooser.nodes["soft_channel_selector"]
    selector.prepare_for_train()  # type: ignore[operator]  # a node
    found = chooser(tmp_path / "train" / "a.hdr").output
    assert found.requires_grad == any(p.requires_grad for p in chooser.parameters())
