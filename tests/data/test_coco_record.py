import json
from pathlib import Path
from typing import Any

import pytest

from cuvis_ai.data.coco_record import first_names, read_record
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError

IMAGE = {"id": 1, "file_name": "a.png", "height": 12, "width": 10}
ANNOTATION = {"id": 5, "image_id": 1, "category_id": 2, "segmentation": []}
CATEGORY = {"id": 2, "name": "stone"}


def _write(path: Path, **changes: Any) -> Path:
    record = {"images": [IMAGE], "annotations": [ANNOTATION], "categories": [CATEGORY]}
    path.write_text(json.dumps(record | changes))
    return path


@pytest.mark.parametrize("written", [1, "1", 1.0, "001"])
def test_an_id_of_digits_is_a_number_however_it_is_written(tmp_path: Path, written: Any) -> None:
    path = _write(
        tmp_path / "coco.json",
        images=[IMAGE | {"id": written}],
        annotations=[ANNOTATION | {"image_id": written, "category_id": "2"}],
    )
    record = read_record(path)
    assert list(record.images) == [1]
    assert [(one.image, one.category) for one in record.annotations] == [(1, 2)]


def test_an_id_may_be_text_and_sizes_and_categories_may_be_missing(tmp_path: Path) -> None:
    path = _write(tmp_path / "coco.json", images=[{"id": "a7-f", "file_name": "a.png"}], categories=[])
    record = read_record(path)
    assert record.images["a7-f"].size is None
    assert record.categories == {}


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "images no list": ({"images": {"id": 1}}, "expected `images` to be a list"),
    "image no object": ({"images": [IMAGE, 3]}, r"expected `images\[1\]` to be an object, got 3"),
    "image without id": ({"images": [{"file_name": "a"}]}, r"`images\[0\]`: expected `id` to be a number"),
    "id is a list": ({"images": [IMAGE | {"id": [1]}]}, r"expected `id` .*got \[1\]"),
    "id is true": ({"images": [IMAGE | {"id": True}]}, "expected `id` .*got True"),
    "id is half": ({"images": [IMAGE | {"id": 1.5}]}, "expected `id` .*got 1.5"),
    "id is NaN": ({"images": [IMAGE | {"id": float("nan")}]}, "expected `id` .*got nan"),
    "no file name": ({"images": [{"id": 1}]}, "expected `file_name` to be the name of a file, got None"),
    "empty file name": ({"images": [IMAGE | {"file_name": "/"}]}, "expected `file_name` .*got '/'"),
    "height as text": ({"images": [IMAGE | {"height": "12"}]}, "expected `height` .*got '12'"),
    "width of 0": ({"images": [IMAGE | {"width": 0}]}, "expected `width` to be a whole number from 1 on"),
    "two images of an id": ({"images": [IMAGE, IMAGE | {"file_name": "b"}]}, "an id that no other image has"),
    "annotation is null": ({"annotations": [None]}, r"`annotations\[0\]` to be an object"),
    "no image id": ({"annotations": [{"id": 5, "category_id": 2}]}, "annotation 5: expected `image_id`"),
    "no category id": ({"annotations": [{"image_id": 1}]}, r"`annotations\[0\]`: expected `category_id`"),
    "category without name": ({"categories": [{"id": 2}]}, r"`categories\[0\]`: expected `name`"),
    "two categories of an id": ({"categories": [CATEGORY, {"id": 2, "name": "x"}]}, "no other category"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_field_is_named_with_what_it_is(tmp_path: Path, fault: str) -> None:
    changes, message = FAULTS[fault]
    with pytest.raises(CubeFormatError, match=rf"coco\.json: .*{message}"):
        read_record(_write(tmp_path / "coco.json", **changes))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"3",
        b'{"images": []}',
        b'{"images"',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"a": 1' + b"0" * 5000 + b"}",
    ],
)
def test_what_is_no_coco_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "coco.json").write_bytes(content)
    with pytest.raises(CubeFormatError, match="expected a COCO JSON"):
        read_record(tmp_path / "coco.json")


def test_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = _write(tmp_path / "coco.json")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_record(path).images) == 1


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="expected a COCO JSON"):
        read_record(tmp_path)


def test_names_in_messages_are_few_and_printable() -> None:
    assert first_names(["a\x1b[2J", "é", "\ud800"]) == r"a\x1b[2J, é, \ud800"
    assert first_names([str(i) for i in range(12)]).endswith("8, 9, …")
