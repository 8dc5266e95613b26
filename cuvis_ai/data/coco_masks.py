"""`CocoMasks`: anomaly masks from a COCO file, through pycocotools."""

import json
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError, import_extra

Category = int | str
"""A category's id or name."""


class CocoMasks:
    """The masks in a COCO JSON: polygons, compressed and uncompressed run lengths.

    A pixel is an anomaly if an annotation of an anomalous category covers it. All categories are anomalous,
    but for those named in `normal`; or only those named in `anomalous`.

    Args:
        path: the JSON file.
        normal: categories, by id or name, that are no anomalies.
        anomalous: categories that are; None: all but `normal`. Give one of the two.

    Raises:
        ConfigError: a category is unknown, or both lists are given.
        CubeFormatError: the file is no COCO JSON.
        DatasetNotFoundError: there is no such file.
        MissingExtraError: pycocotools is not installed.

    Example:
        >>> masks = CocoMasks("labels.json", normal=["lentil"])  # doctest: +SKIP
        >>> masks.mask("frame_003.hdr", (275, 290)).sum()  # doctest: +SKIP
        41
    """

    def __init__(
        self,
        path: str | Path,
        *,
        normal: Collection[Category] = (),
        anomalous: Collection[Category] | None = None,
    ) -> None:
        self.path = Path(path)
        self._codec = import_extra("pycocotools.mask", "coco", f"reading {self.path}")
        record = self._load()
        self._images: dict[int, dict[str, Any]] = {image["id"]: image for image in record["images"]}
        self._annotations: dict[int, list[dict[str, Any]]] = {number: [] for number in self._images}
        for annotation in record["annotations"]:
            self._annotations.setdefault(annotation["image_id"], []).append(annotation)
        self.categories: dict[int, str] = {
            category["id"]: str(category["name"]) for category in record.get("categories", [])
        }
        if normal and anomalous is not None:
            raise ConfigError(
                f"CocoMasks: expected `normal` or `anomalous`, got both: {normal!r}, {anomalous!r}."
            )
        if anomalous is not None:
            self.anomalous = self._ids(anomalous)
        else:
            used = {annotation["category_id"] for annotation in record["annotations"]}
            self.anomalous = (set(self.categories) | used) - self._ids(normal)

    @property
    def images(self) -> dict[int, str]:
        """File names by image id, in the order of the file."""
        return {number: str(image["file_name"]) for number, image in self._images.items()}

    def mask(self, image: int | str, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return an image's mask (h, w), True where a pixel is an anomaly.

        Args:
            image: its id, or its file name with or without folders and suffix.
            shape: (h, w) of the cube that it belongs to.

        Raises:
            CubeFormatError: the file has no such image, or its size or an annotation's differs.
        """
        number = self._image_id(image)
        declared = (self._images[number].get("height"), self._images[number].get("width"))
        if None not in declared and declared != tuple(shape):
            raise CubeFormatError(
                f"{self.path}: expected image {image!r} to be {tuple(shape)} as the cube, got {declared}. "
                "Is it the annotation of another cube?"
            )
        mask = np.zeros(shape, dtype=bool)
        for annotation in self._annotations[number]:
            if annotation["category_id"] in self.anomalous:
                mask |= self._decoded(annotation, shape)
        return mask

    def _load(self) -> dict[str, Any]:
        if not self.path.exists():
            raise DatasetNotFoundError(
                f"{self.path}: expected a COCO JSON, got no such file. Correct the path."
            )
        try:
            record = json.loads(self.path.read_text(encoding="utf-8"))
        except ValueError as err:
            raise CubeFormatError(f"{self.path}: expected a COCO JSON, got: {err}.") from err
        if not isinstance(record, dict) or not {"images", "annotations"} <= record.keys():
            got = sorted(record) if isinstance(record, dict) else type(record).__name__
            raise CubeFormatError(
                f"{self.path}: expected a COCO JSON with `images` and `annotations`, got {got}."
            )
        return record

    def _ids(self, categories: Collection[Category]) -> set[int]:
        """Return the ids of categories given by id or name."""
        if isinstance(categories, str):
            raise ConfigError(
                f"CocoMasks: expected a list of categories, got {categories!r}. Put it in brackets."
            )
        by_name = {name: number for number, name in self.categories.items()}
        unknown = [entry for entry in categories if entry not in self.categories and entry not in by_name]
        if unknown:
            raise ConfigError(
                f"{self.path}: expected categories of {self.categories}, got {unknown}. Correct them."
            )
        return {entry if isinstance(entry, int) else by_name[entry] for entry in categories}

    def _image_id(self, image: int | str) -> int:
        """Return the id of an image given by id or file name; the fullest match that is unique counts."""
        found = [number for number in self._images if number == image]
        for part in (str, lambda name: PurePosixPath(name).name, lambda name: PurePosixPath(name).stem):
            if not found and isinstance(image, str):
                wanted = part(image.replace("\\", "/"))
                found = [n for n, name in self.images.items() if part(name.replace("\\", "/")) == wanted]
        if len(found) != 1:
            listing = ", ".join(f"{n}: {name}" for n, name in list(self.images.items())[:10])
            got = f"{len(found)} of that name" if found else "no such image"
            raise CubeFormatError(
                f"{self.path}: expected one image {image!r}, got {got} of {len(self._images)}: {listing}"
                f"{', …' if len(self._images) > 10 else ''}."
            )
        return found[0]

    def _decoded(self, annotation: dict[str, Any], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return the pixels that one annotation covers."""
        where = f"{self.path}: annotation {annotation.get('id')}"
        segmentation = annotation.get("segmentation")
        h, w = shape
        if isinstance(segmentation, dict):
            if list(segmentation["size"]) != [h, w]:
                raise CubeFormatError(
                    f"{where}: expected run lengths of size {[h, w]}, got {segmentation['size']}."
                )
            if isinstance(segmentation["counts"], list):
                if sum(segmentation["counts"]) != h * w:
                    raise CubeFormatError(
                        f"{where}: expected run lengths of {h * w} pixels, got {sum(segmentation['counts'])}."
                    )
                segmentation = self._codec.frPyObjects(segmentation, h, w)
            return np.asarray(self._codec.decode(segmentation)).astype(bool)
        if not segmentation or not all(isinstance(part, list) and len(part) >= 6 for part in segmentation):
            raise CubeFormatError(
                f"{where}: expected a segmentation (polygons of at least 3 corners, or run lengths), got "
                f"{segmentation!r}. A box alone says not which pixels are anomalous; annotate the outline."
            )
        parts = self._codec.frPyObjects(segmentation, h, w)
        return np.asarray(self._codec.decode(self._codec.merge(parts))).astype(bool)
