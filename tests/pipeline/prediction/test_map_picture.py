"""The picture shows the scene, the scores, and where the strongest detections are."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction import map_picture
from cuvis_ai.pipeline.prediction.detections import find_detections
from cuvis_ai.pipeline.scene_reader import SceneReader


def test_panels_scale_north_and_numbers(graph: Graph, scene: Path) -> None:
    reader = SceneReader.of(read_cube(scene), graph.bands, ReadingOptions())
    scores = np.asarray(graph.predict(scene)[0].scores[..., 0])
    cube = reader.cube
    found = find_detections(scores, scores > 4, lambda r, c: cube.values[r, c], cube.georeference)

    figure = map_picture.draw_map(reader, scores, 4.0, found)

    left, right, bar = figure.axes
    assert right.get_title() == "Scores"
    texts = [text.get_text() for text in left.texts]
    # 24 columns of 2 m: a quarter is 12 m, of which 10 m is the largest round length.
    assert "10 m" in texts
    assert "N" in texts
    assert "1" in texts
    assert bar.lines[-1].get_ydata()[0] == 4.0
    marker = next(line for line in right.lines if line.get_marker() == "o")
    assert (marker.get_xdata()[0], marker.get_ydata()[0]) == (found[0].column, found[0].row)


def test_large_scenes_keep_their_highest_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.zeros((5, 7), np.float32)
    scores[4, 6] = 9.0
    scores[0, 0] = np.nan
    np.testing.assert_array_equal(map_picture._highest(scores, 2), [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 9]])
