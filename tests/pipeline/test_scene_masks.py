"""Which mask a scene has: the given one, one beside it, one of its name in a folder, or its own array."""

import logging
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.scene_masks import MaskOptions, masks_of

SIZE = (4, 5)


def place(path: Path, row: int) -> None:
    """A mask with an anomaly in one row."""
    path.parent.mkdir(exist_ok=True)
    mask = np.zeros(SIZE, np.uint8)
    mask[row, 0] = 1
    np.save(path, mask)


def test_masks_are_found_where_they_lie(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scenes = {name: tmp_path / f"{name}.hdr" for name in ("beside", "folder", "none", "own.dots")}
    place(tmp_path / "beside_mask.npy", 0)
    place(tmp_path / "masks" / "folder.npy", 1)
    place(tmp_path / "masks" / "own.dots.npy", 2)
    with caplog.at_level(logging.WARNING):
        found = masks_of(scenes, MaskOptions())
    rows = {name: np.argwhere(mask(SIZE))[:, 0].tolist() for name, mask in found.items()}
    assert rows == {"beside": [0], "folder": [1], "none": [], "own.dots": [2]}
    assert "1 of 4 scenes have no mask and count as free of anomalies: none" in caplog.text


def test_a_given_folder_takes_the_place_of_the_usual_one(tmp_path: Path) -> None:
    place(tmp_path / "masks" / "a.npy", 0)
    place(tmp_path / "truth" / "a.npy", 3)
    found = masks_of({"a": tmp_path / "a.hdr"}, MaskOptions(masks=tmp_path / "truth"))
    assert np.argwhere(found["a"](SIZE))[:, 0].tolist() == [3]


def test_a_label_cannot_mean_two_things() -> None:
    with pytest.raises(ConfigError, match=r"got \[2\] in both"):
        MaskOptions(anomaly_labels=[1, 2], ignore_labels=[2])
