"""An evaluation without anomalies is written too; what is not defined is null, and no curve is drawn."""

import json
from pathlib import Path

import numpy as np

from cuvis_ai.pipeline.evaluation.evaluation_files import tables, write_evaluation
from cuvis_ai.pipeline.evaluation.scene_evaluation import evaluated
from tests.pipeline.evaluation.test_scene_evaluation import random_scene, scored


def test_without_anomalies_there_are_false_alarms_and_no_curves(tmp_path: Path) -> None:
    scores, _ = random_scene(1)
    found = evaluated([scored("a", scores, np.zeros(scores.shape, bool))], 1.0, ())
    files = write_evaluation(found, tmp_path / "out", {"graph": "g.zip"})
    assert [file.name for file in files] == ["evaluation.json"]
    written = json.loads(files[0].read_text())
    assert written["graph"] == "g.zip"
    assert written["pooled"]["auroc"] is None
    assert written["pooled"]["stored/false_alarm_rate"] == (scores > 1.0).mean()
    assert written["intervals_95"] == {}


def test_a_table_has_a_row_a_scene_and_those_of_all() -> None:
    scenes = [scored(str(i), *random_scene(i)) for i in range(3)]
    over_all, at_stored = tables(evaluated(scenes, 1.0, ()))
    assert over_all.row_count == at_stored.row_count == 3 + 1 + 2
    (one,) = tables(evaluated(scenes[:1], None, ()))
    assert one.row_count == 1
