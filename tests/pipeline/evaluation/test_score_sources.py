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
    monkeypatch.setattr("cuvis_ai.pipeline.prediction.strip_scorer.STRIP_BYTES", 4 * 25 * 4 * 3)
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


def test_predict_takes_the_normal_pixels_quantile_where_masks_are(
    graph: Graph, scenes: Path, tmp_path: Path
) -> None:
    """The threshold is that of all normal pixels together: the highest score that leaves the rate above it."""
    (tmp_path / "truth").mkdir()
    for seed, name in enumerate("ab"):
        np.save(tmp_path / "truth" / f"{name}.npy", scene(seed, anomalies=True)[1])
    masks = tmp_path / "truth"
    found = graph.predict(scenes, tmp_path / "maps", mask=True, false_alarm_rate=0.01, masks=masks)
    scores = np.concatenate([np.asarray(one.scores).ravel() for one in found])
    truth = np.concatenate([loadmat(scenes / f"{one.name}.mat")["map"].ravel() for one in found])
    normal = np.sort(scores[truth == 0])[::-1]
    allowed = int(0.01 * len(normal))
    threshold = found[0].threshold
    assert threshold is not None
    assert int((normal > threshold).sum()) == allowed
    assert {one.threshold for one in found} == {threshold}
    again = graph.predict(
        scenes, tmp_path / "maps", mask=True, false_alarm_rate=0.01, masks=masks, resume=True
    )
    assert again == [], "the same threshold is the same prediction"


@pytest.mark.parametrize("options", [{}, {"threshold": 3.0, "false_alarm_rate": 0.01}])
def test_masks_that_set_no_threshold_are_refused(
    graph: Graph, scenes: Path, options: dict[str, float]
) -> None:
    with pytest.raises(ConfigError, match="expected masks of scene files beside a `false_alarm_rate`"):
        graph.predict(scenes, mask_key="map", **options)  # type: ignore[arg-type]  # of either type


def test_the_file_of_one_mask_may_stand_for_the_folder(graph: Graph, scenes: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "truth.npy", scene(0, anomalies=True)[1])
    by_file = graph.evaluate_scenes(scenes / "a.mat", masks=tmp_path / "truth.npy")
    assert by_file.pooled == graph.evaluate_scenes(scenes / "a.mat", mask_key="map").pooled
