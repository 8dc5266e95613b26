import json
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvis_ai.data.mask_sources import coco_image_ids, coco_mask, mask_in_memory, no_anomaly
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
    ],
)
def test_an_image_belongs_to_the_cube_of_its_path_or_else_of_its_name(
    names: list[str], images: list[str], expected: list[int | None]
) -> None:
    assert coco_image_ids(names, dict(enumerate(images))) == expected


def test_an_image_that_fits_cubes_of_two_folders_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`a\.npy`, which fits \['train/a', 'test/a'\].*`file_name`"):
        coco_image_ids(["train/a", "test/a"], {0: "a.npy"})
