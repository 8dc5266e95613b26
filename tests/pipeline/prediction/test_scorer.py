"""Scenes are cut into strips that hold a bounded number of bytes, context included."""

from pathlib import Path

import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction import scorer, strip_scorer
from cuvis_ai.pipeline.scene_reader import SceneReader


@pytest.mark.parametrize(("halo", "rows"), [(0, 12), (2, 8), (5, 5), (100, 40)])
def test_a_strip_with_its_context_takes_the_bytes_or_as_many_rows_as_its_context(
    graph: Graph, scene: Path, monkeypatch: pytest.MonkeyPatch, halo: int, rows: int
) -> None:
    # Twelve rows of 24 columns and four bands of float32.
    monkeypatch.setattr(strip_scorer, "STRIP_BYTES", 12 * 24 * 4 * 4)
    reader = SceneReader.of(read_cube(scene), graph.bands, ReadingOptions())
    made = scorer.Scorer(execution=graph._members.execution, end="log_smooth", halo=halo)
    strips = made.strips(reader)
    assert {strip.height for strip in strips[:-1]} <= {rows}
    assert strips[0].height == min(rows, 40)
    assert [strip.top for strip in strips] == list(range(0, 40, rows))
    assert sum(strip.height for strip in strips) == 40
