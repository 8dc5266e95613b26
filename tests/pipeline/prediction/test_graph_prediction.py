"""Maps, masks and detections are those of the graph's scores, whole or in strips."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction.scorer import Scorer
from tests.data.files import write_envi
from tests.pipeline.prediction.conftest import BORDER, STATISTICS_ONLY


def test_strips_with_the_halo_equal_the_whole(graph: Graph, scene: Path, short_strips: None) -> None:
    whole = graph(scene).output[0].permute(1, 2, 0).numpy()
    (found,) = graph.predict(scene)
    assert np.isnan(found.scores[:BORDER]).all()
    np.testing.assert_allclose(found.scores, whole, rtol=1e-5, atol=1e-5)


def test_arrays_and_files_give_the_same_map(graph: Graph, scene: Path) -> None:
    (of_file,) = graph.predict(scene)
    (of_cube,) = graph.predict(read_cube(scene))
    np.testing.assert_array_equal(of_file.scores, of_cube.scores)


def test_mask_and_detections_are_those_above_the_threshold(graph: Graph, scene: Path, tmp_path: Path) -> None:
    options: Any = {"threshold": 4.0, "mask": True, "detections": True}
    (found,) = graph.predict(scene, **options)
    assert found.mask is not None
    assert (found.mask[:BORDER] == 255).all()
    np.testing.assert_array_equal(found.mask[BORDER:] == 1, found.scores[BORDER:, :, 0] > 4.0)
    assert found.detections is not None
    assert (round(found.detections[0].row), round(found.detections[0].column)) in {(20, 11), (21, 11)}
    # Of the four good bands, the planted value.
    assert len(found.detections[0].spectrum) == 4
    (written,) = graph.predict(scene, tmp_path / "maps", **options)
    assert {path.name for path in written.files} == {
        "a_scores.hdr", "a_detected.hdr", "a_detections.geojson", "a_detections.csv", "a.png",
    }  # fmt: skip
    np.testing.assert_array_equal(written.scores[...], found.scores)


def test_a_graph_that_sees_whole_cubes_is_given_whole_cubes(
    graph: Graph, scene: Path, short_strips: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    scores = Scorer.scores

    def watched(self: Scorer, reader: Any, strips: Any) -> Any:
        seen.append(len(list(strips)))
        return scores(self, reader, strips)

    monkeypatch.setattr(Scorer, "scores", watched)
    graph.predict(scene)
    monkeypatch.setattr(type(graph.nodes["log_smooth"]), "halo", None)
    graph.predict(scene)
    assert seen == [5, 1]


def test_maps_are_of_the_weights_at_the_call(graph: Graph, scene: Path) -> None:
    (before,) = graph.predict(scene)
    with torch.no_grad():
        graph.nodes["rx_global"].mu += 5.0  # type: ignore[operator]  # a buffer
    (after,) = graph.predict(scene)
    whole = graph(scene).output[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(after.scores, whole, rtol=1e-5, atol=1e-5)
    assert not np.allclose(before.scores[BORDER:], after.scores[BORDER:])


@pytest.mark.parametrize("no_data", [None, 0.0])
def test_the_interleave_does_not_matter(tmp_path: Path, no_data: float | None) -> None:
    cube = np.random.default_rng(0).integers(1, 1000, (30, 70, 6)).astype("u2")
    cube[3:5, 60:] = 0
    orders = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}
    for name, order in orders.items():
        write_envi(tmp_path / f"{name}.hdr", cube)
        header = tmp_path / f"{name}.hdr"
        header.write_text(header.read_text().replace("bip", name))
        header.with_suffix(".img").write_bytes(cube.transpose(order).tobytes())
    graph = Graph("chain")
    norm = graph.add_node(MinMaxNormalizer())
    graph.add_node(RXGlobal(), parent=graph.add_node(TrainablePCA(4), parent=norm))
    graph.train(SceneList([tmp_path / "bip.hdr"]), STATISTICS_ONLY)
    maps = [graph.predict(tmp_path / f"{name}.hdr", no_data=no_data)[0].scores for name in orders]
    assert np.isnan(maps[0]).any() == (no_data is not None)
    for other in maps[1:]:
        np.testing.assert_array_equal(other, maps[0])
    np.testing.assert_allclose(
        maps[0][..., 0],
        graph(tmp_path / "bip.hdr", valid=~np.isnan(maps[0][None, ..., 0])).output[0, 0],
        rtol=1e-6,
    )
