import json
import logging
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvis_ai.data.mask_sources import coco_image_ids, coco_mask, coco_sources, mask_in_memory, no_anomaly
from cuvis_ai.errors import ConfigError

MASK = np.array([[True, False, False], [False, False, True]])


def _coco(path: Path, segmentation: list[list[int]]) -> Path:
    annotation: dict[str, Any] = {"id": 1, "image_id": 4, "category_id": 1, "segmentation": segmentation}
    record = {
        "images": [{"id": 4, "file_name": "a.png"}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "stone"}],
    }
    path.write_text(json.dumps(record))
    return path


def test_sources_travel_to_worker_processes(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools for COCO annotations")
    path = _coco(tmp_path / "coco.json", [[1, 0, 3, 0, 3, 2, 1, 2]])
    sources = {
        "memory": (partial(mask_in_memory, MASK), MASK),
        "coco": (partial(coco_mask, path, 4, ()), [[False, True, True]] * 2),
        "normal category": (partial(coco_mask, path, 4, ("stone",)), np.zeros((2, 3))),
        "none": (no_anomaly, np.zeros((2, 3))),
    }
    for source, expected in sources.values():
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(source))((2, 3)), expected)


def test_annotations_that_changed_are_read_again(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools for COCO annotations")
    source = partial(coco_mask, _coco(tmp_path / "coco.json", [[0, 0, 1, 0, 1, 1, 0, 1]]), 4, ())
    assert source((2, 3)).sum() == 1
    _coco(tmp_path / "coco.json", [[0, 0, 3, 0, 3, 2, 0, 2]])
    assert source((2, 3)).sum() == 6


@pytest.mark.parametrize(
    ("names", "images", "expected"),
    [
        (["a", "b"], ["b.png", "x/a.hdr"], [1, 0]),
        (["train/a", "test/a"], ["test\\a.npy", "train/a.npy"], [1, 0]),
        (["a"], ["x/a.npy", "y/a.npy"], [None]),  # which of the two?
        (["a"], ["x/a.npy", "a.npy"], [1]),
        (["train/a", "test/a"], ["x/a.npy"], [None, None]),
        (["a", "b"], ["cb0618f6-b.png", "1f2e3d4c-a.png"], [1, 0]),  # Label Studio
        (["a", "b"], ["a_png.rf.0f9.jpg", "b_png.rf.1e8.jpg"], [0, 1]),  # Roboflow
        (["a", "b"], ["a_rgb.png", "b.hdr.png"], [0, 1]),
        (["x/a"], ["C:\\upload\\3\\A.PNG"], [0]),
        (["tray", "tray_rgb"], ["x-tray_rgb.png", "x-tray.png"], [1, 0]),  # the longest counts
        (["a", "b"], ["a_b.png"], [None, None]),  # whose?
        (["a", "rgb"], ["a.png", "a_rgb.png"], [0, None]),
        (["a"], ["x-a.png", "y-a.png"], [None]),
        (["tray"], ["tray_2.png"], [None]),  # another tray
        (["tray"], ["tray_2_rgb.png"], [None]),
        (["3"], ["tray_12-3.png"], [None]),
        (["a"], ["banana.png"], [None]),
        (["a"], ["12345678-a.png"], [0]),  # a hash may be of digits
    ],
)
def test_an_image_belongs_to_the_cube_of_its_path_or_else_of_its_name(
    names: list[str], images: list[str], expected: list[int | None]
) -> None:
    assert coco_image_ids(names, dict(enumerate(images))) == expected


def test_what_the_cubes_use_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools for COCO annotations")
    path = _coco(tmp_path / "coco.json", [[0, 0, 1, 0, 1, 1, 0, 1]])
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        assert list(coco_sources(path, ["a", "b"], ())) == ["a"]
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "coco.json: 1 of 1 annotations used, 0 images without a cube." in caplog.text
    record = json.loads(path.read_text())
    record["images"] += [{"id": 5, "file_name": "x/c.png"}, {"id": 6, "file_name": "d.png"}]
    record["annotations"] += [record["annotations"][0] | {"image_id": 5}]
    path.write_text(json.dumps(record))
    coco_sources(path, ["a", "b"], ())
    assert caplog.records[-1].levelname == "WARNING"
    assert "1 of 2 annotations used, 2 images without a cube: x/c.png, d.png." in caplog.text


def test_annotations_of_no_cube_are_an_error(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools for COCO annotations")
    path = _coco(tmp_path / "coco.json", [[0, 0, 1, 0, 1, 1, 0, 1]])
    with pytest.raises(
        ConfigError, match=r"annotations of the cubes b, c, got 0 of 1 .*without a cube: a\.png"
    ):
        coco_sources(path, ["b", "c"], ())


def test_long_names_are_matched_in_little_time() -> None:
    names = [f"tray {i}" for i in range(3000)]
    images = {i: f"{'-' * 100_000 if i == 7 else 'x-'}tray {i}.png" for i in range(3000)}
    expected = [None if i == 7 else i for i in range(3000)]
    assert coco_image_ids(names, images) == expected


def test_an_image_that_fits_cubes_of_two_folders_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`a\.npy`, which fits \['train/a', 'test/a'\].*`file_name`"):
        coco_image_ids(["train/a", "test/a"], {0: "a.npy"})
