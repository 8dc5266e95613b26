"""A graph and the maps that it wrote are evaluated alike; masks are found where they are said to be."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from cuvis_ai.errors import ConfigError, DatasetNotFoundError, GraphError
from cuvis_ai.pipeline.evaluation.score_sources import evaluate_maps
from cuvis_ai.pipeline.graph import Graph
from tests.pipeline.evaluation.conftest import THRESHOLD, scene
from tests.pipeline.evaluation.test_scene_evaluation import assert_as_scikit_learn


def test_a_graph_on_mat_scenes_gives_scikit_learns_values(graph: Graph, scenes: Path) -> None:
    found = graph.evaluate_scenes(scenes, mask_key="map")
    scores, truth = [], []
    for path in sorted(scenes.iterdir()):
        stored = loadmat(path)
        scores.append(graph(stored["data"]).output.numpy().ravel())
        truth.append(stored["map"].ravel().astype(bool))
    assert found.thresholds["stored"] == THRESHOLD
    assert [one.name for one in found.scenes] == ["a", "b", "normal"]
    assert_as_scikit_learn(
        found.pooled.values, np.concatenate(truth), np.concatenate(scores), found.thresholds
    )
    assert_as_scikit_learn(found.scenes[1].values, truth[1], scores[1], found.thresholds)


def test_maps_that_predict_wrote_give_the_graphs_values(graph: Graph, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    for seed, name in enumerate("ab"):
        np.save(tmp_path / "truth" / f"{name}.npy", scene(seed, anomalies=True)[1])
    graph.predict(scenes, tmp_path / "maps", mask=True, picture=False)
    by_graph = graph.evaluate_scenes(scenes, masks=tmp_path / "truth")
    by_maps = evaluate_maps(tmp_path / "maps", masks=tmp_path / "truth")
    assert by_maps.thresholds == by_graph.thresholds
    assert by_maps.scenes == by_graph.scenes
    assert by_maps.pooled == by_graph.pooled
    assert by_maps.scenes[2].anomalies == 0


def test_a_scene_is_evaluated_in_strips_as_a_whole(
    graph: Graph, scenes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = graph.evaluate_scenes(scenes, mask_key="map")
    monkeypatch.setattr("cuvis_ai.pipeline.prediction.scorer.STRIP_BYTES", 4 * 25 * 4 * 3)
    strips = graph.evaluate_scenes(scenes, mask_key="map")
    for one, other in zip((whole.pooled, *whole.scenes), (strips.pooled, *strips.scenes), strict=True):
        assert one.confusions == other.confusions
        for name, value in one.values.items():
            assert value == (None if value is None else pytest.approx(other.values[name], rel=1e-6))


def test_labels_are_chosen(graph: Graph, scenes: Path, tmp_path: Path) -> None:
    _, mask = scene(0, anomalies=True)
    labels = np.where(mask, 2, 5)
    labels[:, 20:] = 255
    np.save(tmp_path / "labels.npy", labels)
    found = graph.evaluate_scenes(
        scenes / "a.mat", mask=tmp_path / "labels.npy", anomaly_labels=[2], ignore_labels=[255]
    )
    assert (found.pooled.pixels, found.pooled.anomalies) == (30 * 20, int(mask[:, :20].sum()))


def test_misfits_say_what_to_do(graph: Graph, scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"expected masks, got none for a, b, normal. Pass `mask`"):
        graph.evaluate_scenes(scenes)
    with pytest.raises(ConfigError, match="one scene for one mask, got 3"):
        graph.evaluate_scenes(scenes, mask=scenes / "a.mat")
    with pytest.raises(DatasetNotFoundError, match="no such file or folder"):
        graph.evaluate_scenes(scenes, masks=tmp_path / "missing")
    with pytest.raises(GraphError, match="map of scores with one band, got 4. To evaluate a graph"):
        evaluate_maps(scenes, mask_key="map")
