"""Pictures as labels, written by Pillow or byte by byte."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cuvis_ai.data.mask_pictures import read_picture
from cuvis_ai.data.masks import read_mask
from cuvis_ai.errors import CubeFormatError

MARKED = np.zeros((6, 8), dtype=bool)
MARKED[1:3, 2:5] = True
SHAPE = MARKED.shape


def _indexed(path: Path, background: int, marked: int, palette: list[int]) -> None:
    picture = Image.new("P", SHAPE[::-1])
    picture.putdata(np.where(MARKED, marked, background).ravel().tolist())
    picture.putpalette(palette)
    picture.save(path)


@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp"])
@pytest.mark.parametrize(
    ("background", "marked", "palette"),
    [
        (0, 1, [0, 0, 0, 255, 0, 0]),
        (1, 0, [255, 0, 0, 0, 0, 0]),
        (2, 1, [9, 9, 9, 0, 0, 200, 0, 0, 0]),
        (1, 0, [255, 255, 255, 0, 0, 0]),
    ],
)
def test_black_in_the_palette_is_background(
    tmp_path: Path, suffix: str, background: int, marked: int, palette: list[int]
) -> None:
    path = tmp_path / f"mask{suffix}"
    _indexed(path, background, marked, palette)
    np.testing.assert_array_equal(read_mask(path, SHAPE), MARKED)
    if suffix == ".png":  # the others may sort their palettes
        np.testing.assert_array_equal(read_mask(path, SHAPE, anomalous=[marked]), MARKED)
        np.testing.assert_array_equal(read_mask(path, SHAPE, anomalous=[background]), ~MARKED)


def test_colours_that_were_quantized_stay_a_mask(tmp_path: Path) -> None:
    colours = np.zeros((*SHAPE, 3), dtype=np.uint8)
    colours[MARKED] = (0, 255, 0)
    Image.fromarray(colours).quantize(4).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", SHAPE), MARKED)


def _with_opacity(inside: tuple[int, ...], outside: tuple[int, ...]) -> Image.Image:
    channels = np.empty((*SHAPE, len(inside)), dtype=np.uint8)
    channels[...] = outside
    channels[MARKED] = inside
    return Image.fromarray(channels)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ((255, 255, 255, 255), (255, 255, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0, 0)),
        ((255, 0, 0, 255), (255, 255, 255, 0)),
        ((255, 0, 0, 128), (0, 0, 0, 0)),
        ((255, 0, 0, 255), (0, 0, 0, 255)),
        ((255, 255), (255, 0)),
        ((7, 255), (0, 255)),
    ],
)
def test_mask_in_the_opacity(tmp_path: Path, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    _with_opacity(inside, outside).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", SHAPE), MARKED)


def test_transparent_index_is_background(tmp_path: Path) -> None:
    picture = Image.fromarray(MARKED.astype(np.uint8)).convert("P")
    picture.putpalette([255, 255, 255, 255, 0, 0])
    picture.save(tmp_path / "mask.png", transparency=0)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", SHAPE), MARKED)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ((9, 9, 9, 0), (0, 0, 0, 255)),  # colours say inside, opacity outside
        ((0, 0, 0, 255), (255, 255, 255, 0)),
        ((255, 0, 0, 255), (0, 255, 0, 128)),
    ],
)
def test_colours_and_opacity_that_differ_are_refused(
    tmp_path: Path, inside: tuple[int, ...], outside: tuple[int, ...]
) -> None:
    _with_opacity(inside, outside).save(tmp_path / "mask.png")
    with pytest.raises(CubeFormatError, match=r"mask\.png: expected a mask in the colours or in the opacity"):
        read_mask(tmp_path / "mask.png", SHAPE)


def test_photograph_cut_out_by_its_opacity_is_refused(tmp_path: Path) -> None:
    channels = np.random.default_rng(0).integers(1, 255, (*SHAPE, 4), dtype=np.uint8)
    channels[..., 3] = np.where(MARKED, 255, 0)
    Image.fromarray(channels).save(tmp_path / "mask.png")
    with pytest.raises(CubeFormatError, match="which differ"):
        read_mask(tmp_path / "mask.png", SHAPE)


def test_colours_have_no_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    colours = np.zeros((*SHAPE, 3), dtype=np.uint8)
    colours[MARKED] = (0, 255, 0)
    colours[0, 0] = (255, 0, 0)
    Image.fromarray(colours).save(tmp_path / "mask.png")
    with pytest.raises(CubeFormatError, match="expected values, of which `anomaly_values`.*got colours"):
        read_mask(tmp_path / "mask.png", SHAPE, anomalous=[255])
    assert read_mask(tmp_path / "mask.png", SHAPE).sum() == MARKED.sum() + 1
    assert "the labels #00ff00, #ff0000 are not 0" in caplog.text


def test_grey_saved_as_colours_has_values(tmp_path: Path) -> None:
    grey = np.where(MARKED, 3, 1).astype(np.uint8)
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", SHAPE, anomalous=[3]), MARKED)


def _png(path: Path, labels: NDArray[np.uint8], bits: int, colour_type: int = 0) -> None:
    """A PNG by its definition; rows are filled up to whole bytes, the first value in the highest bits."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    h, w = labels.shape[:2]
    digits = (np.unpackbits(labels.reshape(h, -1, 1), axis=2)[..., -bits:]).reshape(h, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(digits, axis=1))
    if bits == 16:
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in labels.reshape(h, -1))
    header = struct.pack(">IIBBBBB", w, h, bits, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_values_are_as_stored(tmp_path: Path, bits: int) -> None:
    labels = np.where(MARKED, 2 ** min(bits, 8) - 1, 0).astype(np.uint8)
    labels[0, 0] = 1
    _png(tmp_path / "mask.png", labels, bits)
    found, coloured = read_picture(tmp_path / "mask.png", SHAPE, indices=True)
    np.testing.assert_array_equal(found, labels)
    assert not coloured


def test_what_would_be_read_in_part_is_refused(tmp_path: Path) -> None:
    _png(tmp_path / "deep.png", np.ones((*SHAPE, 3), dtype=np.uint8), 16, colour_type=2)
    with pytest.raises(CubeFormatError, match="16 bits a colour"):
        read_picture(tmp_path / "deep.png", SHAPE, indices=False)
    frames = [Image.fromarray(MARKED), Image.fromarray(~MARKED)]
    for suffix in ("gif", "png"):
        frames[0].save(tmp_path / f"film.{suffix}", save_all=True, append_images=frames[1:])
        with pytest.raises(CubeFormatError, match="got 2 frames"):
            read_picture(tmp_path / f"film.{suffix}", SHAPE, indices=False)


def test_size_is_compared_before_anything_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    _png(path, MARKED.astype(np.uint8), 8)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(CubeFormatError, match=r"cube's size \(6, 8\), got \(2147483647, 2147483647\)"):
        read_picture(path, SHAPE, indices=False)


@pytest.mark.parametrize("at", [40, 45, 50, 60])
def test_byte_that_changed_is_noticed(tmp_path: Path, at: int) -> None:
    path = tmp_path / "mask.png"
    _png(path, MARKED.astype(np.uint8), 8)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(CubeFormatError, match=r"mask\.png: expected a file that can be decoded"):
        read_picture(path, SHAPE, indices=False)


def test_more_transparencies_than_colours_are_refused(tmp_path: Path) -> None:
    picture = Image.fromarray(MARKED.astype(np.uint8)).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.save(tmp_path / "mask.png", transparency=b"\xff" * 2)
    content = (tmp_path / "mask.png").read_bytes()
    at = content.index(b"tRNS")
    part = b"tRNS" + bytes(300)
    chunk = struct.pack(">I", 300) + part + struct.pack(">I", zlib.crc32(part))
    (tmp_path / "mask.png").write_bytes(content[: at - 4] + chunk + content[at + 10 :])
    with pytest.raises(
        CubeFormatError, match="expected a file that can be decoded, .*palette index out of range"
    ):
        read_mask(tmp_path / "mask.png", SHAPE)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".gif"])
@pytest.mark.parametrize("form", ["EPS", "TIFF", "JPEG", "PPM"])
def test_other_pictures_are_not_given_to_other_decoders(tmp_path: Path, suffix: str, form: str) -> None:
    path = tmp_path / f"mask{suffix}"
    Image.fromarray(MARKED).convert("L").save(path, format=form)
    with pytest.raises(CubeFormatError, match="expected a picture in PNG, BMP or GIF"):
        read_picture(path, SHAPE, indices=False)
