"""`CocoMasks`: anomaly masks from a COCO file, through pycocotools."""

import logging
from collections.abc import Collection
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from cuvis_ai.data.coco_record import Annotation, Id, first_names, read_record
from cuvis_ai.data.coco_shapes import covered, lies_outside
from cuvis_ai.errors import ConfigError, CubeFormatError, import_extra
from cuvis_ai.paths import StrPath

Category = int | str
"""A category's id or name."""

_log = logging.getLogger(__name__)


class CocoMasks:
    """The masks in a COCO JSON: polygons, compressed and uncompressed run lengths.

    A pixel is an anomaly if an annotation of an anomalous category covers it. All categories are anomalous,
    but for those named in `normal`; or only those named in `anomalous`. Ids may be written as numbers or as
    text. Annotations of no image, and polygons outside theirs, are left out and logged.

    Args:
        path: the JSON file.
        normal: categories, by id or name, that are no anomalies.
        anomalous: categories that are; None: all but `normal`. Give one of the two.

    Raises:
        ConfigError: a category is unknown, or both lists are given.
        CubeFormatError: the file is no COCO JSON, or all its annotations are left out.
        DatasetNotFoundError: there is no such file.
        MissingExtraError: pycocotools is not installed.

    Example:
        >>> masks = CocoMasks("Lentils/annotations.json")
        >>> int(masks.mask("lentils_000.hdr", (12, 16)).sum())
        40
    """

    def __init__(
        self,
        path: StrPath,
        *,
        normal: Collection[Category] = (),
        anomalous: Collection[Category] | None = None,
    ) -> None:
        self.path = Path(path)
        self._codec = import_extra("pycocotools.mask", "coco", f"reading {self.path}")
        record = read_record(self.path)
        self._images = record.images
        self.categories = dict(record.categories)
        self.n_annotations = len(record.annotations)
        """How many the file has, whether they are used or not."""
        self._annotations: dict[Id, list[Annotation]] = {number: [] for number in record.images}
        self._sort(record.annotations)
        if normal and anomalous is not None:
            raise ConfigError(
                f"CocoMasks: expected `normal` or `anomalous`, got both: {normal!r}, {anomalous!r}."
            )
        if anomalous is not None:
            self.anomalous = self._ids(anomalous)
        else:
            used = {annotation.category for annotation in record.annotations}
            self.anomalous = (set(self.categories) | used) - self._ids(normal)

    @property
    def images(self) -> dict[Id, str]:
        """File names by image id, in the order of the file."""
        return {number: image.file_name for number, image in self._images.items()}

    def n_used(self, images: Collection[Id]) -> int:
        """Return how many annotations lie on these images."""
        return sum(len(self._annotations[number]) for number in images)

    def mask(self, image: Id, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Return an image's mask (h, w), True where a pixel is an anomaly.

        Args:
            image: its id, or its file name with or without folders and suffix.
            shape: (h, w) of the cube that it belongs to.

        Raises:
            CubeFormatError: the file has no such image, or its size or an annotation's differs.
        """
        number = self._image_id(image)
        declared = self._images[number].size
        if declared is not None and declared != tuple(shape):
            raise CubeFormatError(
                f"{self.path}: expected image {image!r} to be {tuple(shape)} as the cube, got {declared}. "
                "Is it the annotation of another cube?"
            )
        wanted = [one for one in self._annotations[number] if one.category in self.anomalous]
        if wanted and all(lies_outside(one.segmentation, shape) for one in wanted):
            raise CubeFormatError(
                f"{wanted[0].where}: expected a polygon in the image of {shape[1]} × {shape[0]} pixels, "
                "got one outside, like all of this image. Export polygons in pixels of the cube."
            )
        mask = np.zeros(shape, dtype=bool)
        for one in wanted:
            mask |= covered(one.segmentation, shape, one.where, self._codec)
        return mask

    def _sort(self, annotations: Collection[Annotation]) -> None:
        """Put annotations to their images, and log those that mark no pixel of any."""
        orphans, outside = list[Annotation](), list[Annotation]()
        for annotation in annotations:
            if annotation.image not in self._images:
                orphans.append(annotation)
                continue
            size = self._images[annotation.image].size
            if size is not None and lies_outside(annotation.segmentation, size):
                outside.append(annotation)
            else:
                self._annotations[annotation.image].append(annotation)
        n_dropped = len(orphans) + len(outside)
        text = f"{self.n_annotations - n_dropped} of {self.n_annotations} annotations used"
        if orphans:
            ids = sorted({repr(annotation.image) for annotation in orphans})
            text += (
                f"; {len(orphans)} belong to images that it does not list, with the ids {first_names(ids)}"
            )
        if outside:
            ids = [annotation.where.rpartition(" ")[2] for annotation in outside]
            text += f"; {len(outside)} are polygons outside their image, with the ids {first_names(ids)}"
        if n_dropped and n_dropped == self.n_annotations:
            raise CubeFormatError(
                f"{self.path}: expected annotations of the images that it lists, got {text}. Correct the "
                "ids, or export polygons in pixels."
            )
        if n_dropped:
            _log.warning("%s: %s.", self.path, text)

    def _ids(self, categories: Collection[Category]) -> set[Id]:
        """Return the ids of categories given by id or name; several may have one name."""
        if isinstance(categories, str):
            raise ConfigError(
                f"CocoMasks: expected a list of categories, got {categories!r}. Put it in brackets."
            )
        found: set[Id] = set()
        unknown = []
        for entry in categories:
            ids = {number for number, name in self.categories.items() if entry in (number, name)}
            found |= ids
            unknown += [] if ids else [entry]
        if unknown:
            raise ConfigError(
                f"{self.path}: expected categories of {self.categories}, got {unknown}. Correct them."
            )
        return found

    def _image_id(self, image: Id) -> Id:
        """Return the id of an image given by id or file name; the fullest match that is unique counts."""
        found = [image] if image in self._images else []
        for part in (str, lambda name: PurePosixPath(name).name, lambda name: PurePosixPath(name).stem):
            if not found and isinstance(image, str):
                wanted = part(image.replace("\\", "/"))
                found = [n for n, name in self.images.items() if part(name.replace("\\", "/")) == wanted]
        if len(found) != 1:
            listing = first_names([f"{n}: {name}" for n, name in self.images.items()])
            got = f"{len(found)} of that name" if found else "no such image"
            raise CubeFormatError(
                f"{self.path}: expected one image {image!r}, got {got} of {len(self._images)}: {listing}."
            )
        return found[0]
