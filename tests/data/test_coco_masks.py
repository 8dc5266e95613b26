"""COCO masks against pycocotools' own reading and against masks that the run lengths were made from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as codec
from pycocotools.coco import COCO

from cuvis_ai.data.coco_masks import CocoMasks
from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError

H, W = 12, 15
STONE = np.zeros((H, W), dtype=bool)
STONE[2:5, 3:9] = True
LENTIL = np.zeros((H, W), dtype=bool)
LENTIL[4:10, 7:12] = True


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    """Return COCO's run lengths by their definition: column by column, beginning with zeros."""
    counts, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


def compressed(mask: np.ndarray) -> dict[str, Any]:
    record = codec.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": record["size"], "counts": record["counts"].decode()}


def rectangle(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def write(folder: Path, *annotations: tuple[int, int, Any], images: Any = None) -> Path:
    """Write a COCO JSON from (image, category, segmentation) triples."""
    record = {
        "images": images
        or [
            {"id": 4, "file_name": "frames/frame_004.hdr", "height": H, "width": W},
            {"id": 9, "file_name": "frames/frame_009.hdr", "height": H, "width": W},
        ],
        "categories": [{"id": 1, "name": "stone"}, {"id": 2, "name": "lentil"}, {"id": 3, "name": "husk"}],
        "annotations": [
            {"id": i, "image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": 0}
            for i, (image, category, segmentation) in enumerate(annotations, start=1)
        ],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(record))
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mask=hnp.arrays(bool, (H, W)), encode=st.sampled_from([uncompressed, compressed]))
def test_both_run_length_forms_give_the_mask_back(tmp_path: Path, mask: np.ndarray, encode: Any) -> None:
    masks = CocoMasks(write(tmp_path, (4, 1, encode(mask))))
    np.testing.assert_array_equal(masks.mask(4, (H, W)), mask)


def test_rectangle_as_a_polygon_covers_its_pixels(tmp_path: Path) -> None:
    masks = CocoMasks(write(tmp_path, (4, 1, [rectangle(3, 2, 9, 5)])))
    np.testing.assert_array_equal(masks.mask(4, (H, W)), STONE)


corners = st.lists(st.floats(0, 11), min_size=6, max_size=12).map(lambda c: c[: len(c) // 2 * 2])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(polygons=st.lists(corners, min_size=1, max_size=3))
def test_polygons_equal_pycocotools(tmp_path: Path, polygons: list[list[float]]) -> None:
    path = write(tmp_path, (4, 1, polygons), (4, 3, [rectangle(1, 1, 3, 3)]))
    api = COCO(path)
    oracle = np.zeros((H, W), dtype=bool)
    for annotation in api.loadAnns(api.getAnnIds(imgIds=4)):
        oracle |= api.annToMask(annotation).astype(bool)
    np.testing.assert_array_equal(CocoMasks(path).mask(4, (H, W)), oracle)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, STONE | LENTIL),
        ({"normal": ["lentil"]}, STONE),
        ({"normal": [2]}, STONE),
        ({"normal": ["stone", 2]}, np.zeros_like(STONE)),
        ({"anomalous": ["stone"]}, STONE),
        ({"anomalous": [1, "lentil"]}, STONE | LENTIL),
        ({"anomalous": []}, np.zeros_like(STONE)),
    ],
)
def test_categories_by_id_and_name(tmp_path: Path, choice: dict[str, Any], expected: np.ndarray) -> None:
    path = write(tmp_path, (4, 1, compressed(STONE)), (4, 2, uncompressed(LENTIL)))
    np.testing.assert_array_equal(CocoMasks(path, **choice).mask(4, (H, W)), expected)


def test_category_without_an_entry_is_anomalous(tmp_path: Path) -> None:
    path = write(tmp_path, (4, 77, compressed(STONE)))
    np.testing.assert_array_equal(CocoMasks(path, normal=["lentil"]).mask(4, (H, W)), STONE)


@pytest.mark.parametrize(
    "name", [4, "frames/frame_004.hdr", "frames\\frame_004.hdr", "frame_004.hdr", "frame_004.img"]
)
def test_image_by_id_and_name(tmp_path: Path, name: int | str) -> None:
    masks = CocoMasks(write(tmp_path, (4, 1, compressed(STONE)), (9, 1, compressed(LENTIL))))
    np.testing.assert_array_equal(masks.mask(name, (H, W)), STONE)
    assert masks.images == {4: "frames/frame_004.hdr", 9: "frames/frame_009.hdr"}


def test_image_without_annotations_has_no_anomaly(tmp_path: Path) -> None:
    assert not CocoMasks(write(tmp_path, (4, 1, compressed(STONE)))).mask(9, (H, W)).any()


def test_fullest_name_counts_and_a_doubtful_one_is_refused(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{folder}/tray.hdr"} for i, folder in enumerate("ab")]
    masks = CocoMasks(write(tmp_path, (1, 1, compressed(STONE)), images=images))
    np.testing.assert_array_equal(masks.mask("b/tray.hdr", (H, W)), STONE)
    with pytest.raises(CubeFormatError, match="got 2 of that name"):
        masks.mask("tray.hdr", (H, W))


@pytest.mark.parametrize("name", [5, "frame_005.hdr"])
def test_unknown_image_lists_those_there_are(tmp_path: Path, name: int | str) -> None:
    with pytest.raises(CubeFormatError, match=r"no such image of 2: 4: frames/frame_004\.hdr"):
        CocoMasks(write(tmp_path)).mask(name, (H, W))


def test_image_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CubeFormatError, match=r"to be \(15, 12\) as the cube, got \(12, 15\)"):
        CocoMasks(write(tmp_path)).mask(4, (W, H))


FAULTS = {
    "run lengths of another size": (compressed(STONE.T), r"of size \[12, 15\], got \[15, 12\]"),
    "run lengths too short": ({"size": [H, W], "counts": [5, 3]}, "run lengths of 180 pixels, got 8"),
    "box only": ([], "expected a segmentation"),
    "no segmentation": (None, "expected a segmentation"),
    "two corners": ([[1, 1, 5, 5]], "at least 3 corners"),
}


@pytest.mark.parametrize("row", FAULTS)
def test_faulty_annotation_is_named(tmp_path: Path, row: str) -> None:
    segmentation, message = FAULTS[row]
    with pytest.raises(CubeFormatError, match=f"labels.json: annotation 1: .*{message}"):
        CocoMasks(write(tmp_path, (4, 1, segmentation))).mask(4, (H, W))


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"normal": ["lentils"]}, r"got \['lentils'\]"),
        ({"anomalous": [8]}, r"got \[8\]"),
        ({"normal": "lentil"}, "Put it in brackets"),
        ({"normal": [1], "anomalous": [2]}, "got both"),
    ],
)
def test_wrong_choice_of_categories_is_refused(tmp_path: Path, choice: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CocoMasks(write(tmp_path), **choice)


@pytest.mark.parametrize("text", ["not json", "[]", '{"images": []}'])
def test_file_that_is_no_coco_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(CubeFormatError, match="expected a COCO JSON"):
        CocoMasks(tmp_path / "labels.json")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="got no such file"):
        CocoMasks(tmp_path / "labels.json")


def test_annotations_of_no_image_and_outside_theirs_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    far = [rectangle(500_002, 4_000_003, 500_005, 4_000_006)]
    path = write(tmp_path, (4, 1, compressed(STONE)), (7, 1, compressed(STONE)), (9, 1, far))
    masks = CocoMasks(path)
    assert (
        "1 of 3 annotations used; 1 belong to images that it does not list, with the ids 7; " in caplog.text
    )
    assert "1 are polygons outside their image, with the ids 3." in caplog.text
    assert masks.n_annotations == 3
    assert [masks.n_used([number]) for number in (4, 9)] == [1, 0]
    np.testing.assert_array_equal(masks.mask(4, (H, W)), STONE)


@pytest.mark.parametrize(
    "annotations",
    [
        [(7, 1, compressed(STONE)), (8, 2, [rectangle(3, 2, 9, 5)])],
        [(4, 1, [rectangle(1e6, 1e6, 2e6, 2e6)]), (9, 1, [rectangle(-9, 2, -3, 5)])],
        [(4, 1, [rectangle(1e6, 1e6, 2e6, 2e6)]), (7, 1, [rectangle(3, 2, 9, 5)])],
    ],
)
def test_a_file_of_which_nothing_is_used_is_refused(tmp_path: Path, annotations: Any) -> None:
    with pytest.raises(CubeFormatError, match="got 0 of 2 annotations used"):
        CocoMasks(write(tmp_path, *annotations))


def test_an_image_of_no_declared_size_has_its_polygons_compared_with_the_cube(tmp_path: Path) -> None:
    images = [{"id": 4, "file_name": "a"}]
    outside, inside = [rectangle(20, 20, 30, 30)], [rectangle(3, 2, 9, 5)]
    masks = CocoMasks(write(tmp_path, (4, 1, outside), images=images))
    with pytest.raises(CubeFormatError, match="annotation 1: expected a polygon in the image of 15 × 12"):
        masks.mask(4, (H, W))
    masks = CocoMasks(write(tmp_path, (4, 1, outside), (4, 1, inside), images=images))
    np.testing.assert_array_equal(masks.mask(4, (H, W)), STONE)


def test_categories_of_one_name_are_chosen_together(tmp_path: Path) -> None:
    path = write(tmp_path, (4, 1, compressed(STONE)), (4, 2, compressed(LENTIL)))
    record = json.loads(path.read_text())
    record["categories"] = [{"id": 1, "name": "grain"}, {"id": "2", "name": "grain"}]
    path.write_text(json.dumps(record))
    assert not CocoMasks(path, normal=["grain"]).mask(4, (H, W)).any()


def test_a_faulty_annotation_concerns_its_image_only(tmp_path: Path) -> None:
    masks = CocoMasks(write(tmp_path, (4, 1, [rectangle(3, 2, 9, 5)]), (9, 1, [[1, None, 3, 4, 5, 6]])))
    np.testing.assert_array_equal(masks.mask(4, (H, W)), STONE)
    with pytest.raises(CubeFormatError, match="annotation 2: expected finite numbers"):
        masks.mask(9, (H, W))
