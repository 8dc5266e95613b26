"""NumPy reads what was written; a write that fails leaves the old map."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.pipeline.prediction.writers import WRITERS
from tests.pipeline.prediction.writers.maps import a_map, check_replaces


def test_numpy_reads_what_was_written(tmp_path: Path) -> None:
    np.testing.assert_array_equal(np.load(check_replaces(tmp_path, "npy")), a_map().values)


def test_a_failed_write_leaves_the_old_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "map.npy"
    WRITERS["npy"].write(path, a_map())

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(OSError, match="No space"):
        WRITERS["npy"].write(path, a_map("u1"))
    assert [one.name for one in tmp_path.iterdir()] == ["map.npy"]
    np.testing.assert_array_equal(np.load(path), a_map().values)
