"""COCO annotations, split files and PNG masks for the fuzzer; other libraries and the definition judge."""

import json
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from fuzz.file_format import Format, Reading, changed_bytes, changed_tree

SHAPE = (12, 10)
MARKED = np.zeros(SHAPE, dtype=bool)
MARKED[3:6, 2:5] = True
NAMES = ("a", "b", "c", "10")


def _texts(content: bytes) -> st.SearchStrategy[bytes]:
    """JSON that no writer makes: depth, long numbers, encodings."""
    n = 10**5
    forms = [
        "[" * n,
        '{"a":' * n,
        "[" * n + "]" * n,
        "1" * n,
        "0." + "3" * n,
        "1e999999999",
        '"\\ud800"',
        "NaN",
    ]
    forms += [content.decode().replace(" 1", f" {form}", 1) for form in (*forms, "1" * 4000)]
    encoded = [content.decode().encode(encoding) for encoding in ("utf-16", "utf-8-sig", "utf-32")]
    return st.sampled_from([*(form.encode() for form in forms), *encoded])


def _changed_json(content: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, 9).flatmap(
        lambda share: (
            changed_bytes(content) if share < 4 else _texts(content) if share == 4 else changed_tree(content)
        )
    )


def _coco_seeds() -> list[bytes]:
    from pycocotools import mask as codec

    runs = codec.encode(np.asfortranarray(MARKED, dtype=np.uint8))
    shapes: list[Any] = [
        [[2, 3, 5, 3, 5, 6, 2, 6]],
        [[2, 3, 5, 3, 5.5, 6, 2.25, 6], [7, 7, 9, 7, 9, 9]],
        {"size": list(SHAPE), "counts": runs["counts"].decode()},
        {"size": list(SHAPE), "counts": [27, 3, 9, 3, 9, 3, 66]},
    ]
    images = [{"id": i, "file_name": f"{i}.png", "height": 12, "width": 10} for i in range(len(shapes))]
    del images[1]["height"]
    parts = [
        {"id": i, "image_id": i, "category_id": 1, "segmentation": shape, "iscrowd": 0}
        for i, shape in enumerate(shapes)
    ]
    record = {"images": images, "annotations": parts, "categories": [{"id": 1, "name": "stone"}]}
    return [
        json.dumps(record).encode(),
        json.dumps(record | {"images": images[:3], "annotations": parts[:2]}).encode(),
    ]


def _read_coco(path: Path) -> dict[Any, NDArray[np.bool_]]:
    from cuvis_ai.data.coco_masks import CocoMasks

    masks = CocoMasks(path)
    return {image: masks.mask(image, SHAPE) for image in masks.images}


def _coco_differs(path: Path, found: dict[Any, NDArray[np.bool_]]) -> bool:
    """Draw all annotations with pycocotools."""
    from pycocotools import mask as codec

    def number(value: Any) -> Any:
        return (
            int(value) if isinstance(value, float) or (isinstance(value, str) and value.isdigit()) else value
        )

    expected = {image: np.zeros(SHAPE, dtype=bool) for image in found}
    for part in json.loads(path.read_text(encoding="utf-8-sig"))["annotations"]:
        drawn = part.get("segmentation")
        if number(part["image_id"]) in expected:
            # What the package has read is within the image; it skips what lies wholly outside of it.
            if isinstance(drawn, list):
                drawn = [
                    p
                    for p in drawn
                    if min(max(p[::2]), max(p[1::2])) > 0 and min(p[::2]) < 10 and min(p[1::2]) < 12
                ]
            runs = codec.frPyObjects(drawn, *SHAPE) if drawn and not isinstance(drawn, dict) else drawn
            if isinstance(drawn, dict) and isinstance(drawn["counts"], list):
                runs = codec.frPyObjects(drawn, *SHAPE)
            if runs:
                merged = codec.merge(runs) if isinstance(runs, list) else runs
                expected[number(part["image_id"])] |= codec.decode(merged).astype(bool)
    return any(not np.array_equal(mask, expected[image]) for image, mask in found.items())


def _split_seeds() -> list[bytes]:
    splits = [{"train": ["a", 1], "val": ["c"], "test": ["10"]}, {"train": [0, 1, 2]}, {"test": ["0", "b"]}]
    return [json.dumps(split).encode() for split in splits]


def _read_split(path: Path) -> list[list[str]]:
    from cuvis_ai.data.loading.dataset import CubeItem
    from cuvis_ai.data.splits import divided

    items = [CubeItem(name=name, path=Path(name)) for name in NAMES]
    return [[item.name for item in split] for split in divided(items, range(len(items)), path)]


def _split_differs(path: Path, found: list[list[str]]) -> bool:
    wanted = json.loads(path.read_text(encoding="utf-8-sig"))
    splits = [wanted.get(split, []) for split in ("train", "val", "test")]
    return found != [[i if i in NAMES else NAMES[int(i)] for i in split] for split in splits]


def _png_seeds() -> list[bytes]:
    from PIL import Image

    grey = np.where(MARKED, np.uint8(255), np.uint8(0))
    colours = np.stack([grey, 0 * grey, 0 * grey], axis=2)
    pictures = [
        Image.fromarray(grey),
        Image.fromarray(MARKED),
        Image.fromarray(grey.astype(np.uint16)),
        Image.fromarray(colours),
        Image.fromarray(colours).quantize(4),
        Image.fromarray(np.dstack([colours, grey])),
    ]
    files = [BytesIO() for _ in pictures]
    for file, picture in zip(files, pictures, strict=True):
        picture.save(file, "PNG")
    return [file.getvalue() for file in files]


def _chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return kinds and contents of a sound PNG's chunks."""
    found, at = [], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


@st.composite
def _changed_chunks(draw: st.DrawFn, content: bytes) -> bytes:
    """Chunks changed, removed, repeated, added, with sound checksums."""
    chunks = _chunks(content)
    rows = zlib.decompress(b"".join(part for kind, part in chunks if kind == b"IDAT"))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(chunks) - 1))
        kind, part = chunks[at]
        action = draw(st.sampled_from((*4 * ["change"], "pixels", "remove", "repeat", "add")))
        if action == "change":
            chunks[at] = (kind, draw(changed_bytes(part)))
        elif action == "pixels" and kind == b"IDAT":
            chunks[at] = (kind, zlib.compress(draw(changed_bytes(rows) | st.just(bytes(10**8)))))
        elif action == "remove" and len(chunks) > 1:
            del chunks[at]
        else:
            new = draw(
                st.sampled_from((b"tRNS", b"PLTE", b"acTL", b"zTXt", b"iCCP", b"IEND", b"fcTL", b"gAMA"))
            )
            text = b"k\0\0" + zlib.compress(bytes(10**7))
            added = (new, draw(st.binary(max_size=12) | st.just(text)))
            chunks.insert(at, chunks[at] if action == "repeat" else added)
    return content[:8] + b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in chunks
    )


def _read_png(path: Path) -> NDArray[np.bool_]:
    from cuvis_ai.data.masks import read_mask

    return read_mask(path, SHAPE)


def _png_differs(path: Path, found: NDArray[np.bool_]) -> bool:
    """A mask is where Pillow shows colours other than black, or where it shows anything."""
    from PIL import Image

    with Image.open(path) as picture:
        if picture.mode.startswith("I"):
            return not np.array_equal(found, np.asarray(picture) != 0)
        channels = np.asarray(picture.convert("RGBA"))
    drawn, shown = channels[..., :3].any(axis=2), channels[..., 3] > 0
    return not any(np.array_equal(found, mask) for mask in (drawn, shown))


FORMATS = {
    "coco": Format(".json", _coco_seeds, _changed_json, (Reading("coco", _read_coco, _coco_differs),)),
    "split": Format(".json", _split_seeds, _changed_json, (Reading("split", _read_split, _split_differs),)),
    "png": Format(
        ".png",
        _png_seeds,
        lambda png: changed_bytes(png) | _changed_chunks(png),
        (Reading("png", _read_png, _png_differs),),
    ),
}
"""By the name under which the program takes them."""
