"""A strip counts once it is on disk, whatever ends the process."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.prediction.journal import Journal

SHAPE = (6, 3, 2)
SCORES = np.arange(36, dtype=np.float32).reshape(SHAPE)


def test_strips_in_any_order_and_from_two_processes_make_the_whole(tmp_path: Path) -> None:
    one, other = (Journal(tmp_path / "a", SHAPE, {"graph": "g"}) for _ in range(2))
    one.write(Window(4, 0, 2, 3), SCORES[4:])
    other.write(Window(0, 0, 4, 3), SCORES[:4])
    assert one.finished() == other.finished() == {0, 4}
    np.testing.assert_array_equal(one.scores(), SCORES)
    one.remove()
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock"}


def test_a_line_that_is_cut_off_does_not_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a", SHAPE, {"graph": "g"})
    journal.write(Window(0, 0, 4, 3), SCORES[:4])
    with (tmp_path / ".a.journal").open("a") as file:
        file.write("4")
    assert journal.finished() == {0}


def test_another_prediction_is_refused_by_what_differs(tmp_path: Path) -> None:
    Journal(tmp_path / "a", SHAPE, {"graph": "g", "shape": [6, 3]})
    with pytest.raises(ConfigError, match="other graph"):
        Journal(tmp_path / "a", SHAPE, {"graph": "h", "shape": [6, 3]})


@pytest.mark.parametrize("first", ["", '{"graph": "g"'])
def test_a_process_that_was_killed_before_the_first_line_left_nothing(tmp_path: Path, first: str) -> None:
    (tmp_path / ".a.journal").write_text(first)
    assert Journal(tmp_path / "a", SHAPE, {"graph": "g"}).finished() == set()
    assert Journal(tmp_path / "a", SHAPE, {"graph": "g"}).finished() == set()
