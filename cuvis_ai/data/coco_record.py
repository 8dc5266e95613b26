"""The images, annotations and categories of a COCO JSON, checked field by field."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from reprlib import repr as shortened
from typing import Any

from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError, printable

Id = int | str
"""An image's or a category's id; a text of digits stands for its number."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An entry of `images`."""

    file_name: str
    """As the file has it, with or without folders."""
    size: tuple[int, int] | None
    """(h, w); None: not declared."""


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """An entry of `annotations`."""

    where: str
    """File and annotation, as the subject of messages."""
    image: Id
    """The image on which it was drawn; the file need not have it."""
    category: Id
    """What it marks; the file need not have it."""
    segmentation: Any
    """Polygons or run lengths as the file has them, unchecked."""


@dataclass(frozen=True, kw_only=True)
class CocoRecord:
    """What a COCO JSON holds."""

    images: Mapping[Id, Image]
    """By id, in the order of the file."""
    annotations: tuple[Annotation, ...]
    """In the order of the file."""
    categories: Mapping[Id, str]
    """Names by id."""


def read_record(path: Path) -> CocoRecord:
    """Return what a COCO JSON holds.

    Raises:
        DatasetNotFoundError: there is no such file.
        CubeFormatError: it is no COCO JSON, or a field is missing or of another kind; names it.
    """
    if not path.is_file():
        raise DatasetNotFoundError(f"{path}: expected a COCO JSON, got no such file. Correct the path.")
    try:
        record = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as err:
        raise CubeFormatError(
            f"{path}: expected a COCO JSON, got: {str(err)[:200]!r}. Export it again."
        ) from err
    if not isinstance(record, dict) or not {"images", "annotations"} <= record.keys():
        got = sorted(record) if isinstance(record, dict) else type(record).__name__
        raise CubeFormatError(
            f"{path}: expected a COCO JSON with `images` and `annotations`, got {shortened(got)}."
        )
    images: dict[Id, Image] = {}
    for entry in _entries(path, record, "images"):
        number, image = entry.id("id"), Image(file_name=entry.file_name(), size=entry.size())
        if images.setdefault(number, image) != image:
            raise entry.error("an id that no other image has", "id", number)
    annotations = tuple(entry.annotation(path) for entry in _entries(path, record, "annotations"))
    categories: dict[Id, str] = {}
    for entry in _entries(path, record, "categories"):
        number, name = entry.id("id"), entry.name()
        if categories.setdefault(number, name) != name:
            raise entry.error("an id that no other category has", "id", number)
    return CocoRecord(images=images, annotations=annotations, categories=categories)


def first_names(names: Collection[str]) -> str:
    """Return the first ten of some names for a message; what cannot be printed is escaped."""
    text = ", ".join([*names][:10])[:1000]
    return f"{printable(text)}{', …' if len(names) > 10 else ''}"


@dataclass(frozen=True)
class _Entry:
    """One object of a list in the file."""

    where: str
    fields: dict[str, Any]

    def error(self, expected: str, field: str, got: Any) -> CubeFormatError:
        return CubeFormatError(f"{self.where}: expected `{field}` to be {expected}, got {shortened(got)}.")

    def id(self, field: str) -> Id:
        """Return an id; digits are a number, however they are written."""
        value = self.fields.get(field)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
            raise self.error("a number or a text", field, value)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
            return int(value)
        return value

    def file_name(self) -> str:
        value = self.fields.get("file_name")
        if not isinstance(value, str) or not PurePosixPath(value.replace("\\", "/")).stem:
            raise self.error("the name of a file", "file_name", value)
        return value

    def name(self) -> str:
        value = self.fields.get("name")
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self.error("a text", "name", value)
        return str(value)

    def size(self) -> tuple[int, int] | None:
        """Return (h, w) if both are given."""
        height, width = (self.fields.get(field) for field in ("height", "width"))
        if height is None or width is None:
            return None
        for field, value in (("height", height), ("width", width)):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
                raise self.error("a whole number from 1 on", field, value)
        return height, width

    def annotation(self, path: Path) -> Annotation:
        where = self.where
        if "id" in self.fields:
            where = f"{path}: annotation {shortened(self.fields['id'])}"
        named = _Entry(where, self.fields)
        return Annotation(
            where=where,
            image=named.id("image_id"),
            category=named.id("category_id"),
            segmentation=self.fields.get("segmentation"),
        )


def _entries(path: Path, record: dict[str, Any], field: str) -> list[_Entry]:
    """Return the objects of a list; `categories` may be missing."""
    values = record.get(field, [])
    if not isinstance(values, list):
        raise CubeFormatError(f"{path}: expected `{field}` to be a list, got {shortened(values)}.")
    for i, value in enumerate(values):
        if not isinstance(value, dict):
            raise CubeFormatError(f"{path}: expected `{field}[{i}]` to be an object, got {shortened(value)}.")
    return [_Entry(f"{path}: `{field}[{i}]`", value) for i, value in enumerate(values)]
