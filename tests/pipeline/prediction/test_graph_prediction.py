"""Maps, masks and detections are those of the graph's scores, whole or in strips."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction.scorer import Scorer
from tests.pipeline.prediction.conftest import BORDER


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
