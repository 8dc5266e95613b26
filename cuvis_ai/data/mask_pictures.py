"""Masks and label images that are pictures: PNG, BMP and GIF."""

from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.sources.decoding import decoding
from cuvis_ai.errors import CubeFormatError

SUFFIXES = (".png", ".bmp", ".gif")
"""Endings of pictures."""

_PLUGINS = {
    b"\x89PNG\r\n\x1a\n": ("PngImagePlugin", "PngImageFile"),
    b"BM": ("BmpImagePlugin", "BmpImageFile"),
    b"GIF8": ("GifImagePlugin", "GifImageFile"),
}
"""Pillow's decoders by the bytes with which a file begins; Pillow itself would try some 40, and one starts a
program."""
_SCALED = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey values of 2 and 4 bits by."""


class Picture(NamedTuple):
    """The pixels of a picture as labels."""

    labels: NDArray[Any]
    """(h, w): grey values, palette indices, or colours 0xRRGGBB; black is 0 but as an index."""
    coloured: bool
    """Whether the labels are colours."""


def read_picture(path: Path, shape: tuple[int, int], *, indices: bool) -> Picture:
    """Return a picture's labels; its size is compared before anything is decoded.

    A mask may lie in the opacity, where the picture has one colour. Opacity that says something else than
    the colours do is refused.

    Args:
        path: the file; its content decides on the decoder.
        shape: (h, w) that it must have.
        indices: whether an indexed picture gives its palette's indices, not its colours.

    Raises:
        CubeFormatError: no picture, a damaged one, one of another size, or one without a single meaning.
    """
    with decoding(path), path.open("rb") as file:
        picture = _opened(file)
        rawmode = _rawmode(picture)
        _require_one_meaning(path, picture, rawmode, shape)
        picture.load()
        return _as_labels(path, picture, rawmode, indices)


def _require_one_meaning(path: Path, picture: Any, rawmode: str, shape: tuple[int, int]) -> None:
    """Raise an error for a picture of another size, of several frames, or of which a part would be read."""
    found = (picture.height, picture.width)
    if found != tuple(shape):
        raise CubeFormatError(
            f"{path}: expected a mask of the cube's size {tuple(shape)}, got {found}. "
            "Is it the mask of another cube, or transposed?"
        )
    n_frames = getattr(picture, "n_frames", 1)  # PNG and GIF have it
    deep = rawmode.endswith(";16B") and picture.mode != "I;16"
    if n_frames != 1 or deep:
        got = "16 bits a colour, the lower 8 of which are not read" if deep else f"{n_frames} frames"
        raise CubeFormatError(
            f"{path}: expected one picture, of 8 bits a colour, got {got}. Save the mask as such."
        )


def _opened(file: BinaryIO) -> Any:
    """Return a file as Pillow's image, whose pixels are not yet decoded; a PNG's checksums are compared."""
    from importlib import import_module  # Pillow comes with matplotlib; heavy

    beginning = file.read(8)
    for signature, (module, name) in _PLUGINS.items():
        if beginning.startswith(signature):
            plugin = getattr(import_module(f"PIL.{module}"), name)
            file.seek(0)
            plugin(file).verify()
            file.seek(0)
            return plugin(file)
    raise CubeFormatError(
        f"{file.name}: expected a picture in PNG, BMP or GIF, got a file that begins with {beginning!r}. "
        "Save it as PNG."
    )


def _rawmode(picture: Any) -> str:
    """Return how Pillow's decoder reads the stored numbers, such as L;4."""
    arguments = picture.tile[0][3]
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _as_labels(path: Path, picture: Any, rawmode: str, indices: bool) -> Picture:
    """Return a decoded picture's labels."""
    indexed = picture.mode in ("P", "PA")
    if indexed and indices:
        return Picture(np.asarray(picture.getchannel(0)), False)
    if not indexed and len(picture.getbands()) == 1 and "transparency" not in picture.info:
        values = np.asarray(picture)
        return Picture(values // _SCALED[rawmode] if rawmode in _SCALED else values, False)
    channels = np.asarray(picture.convert("RGBA"))
    return _of_colours(path, channels[..., :3], channels[..., 3])


def _of_colours(path: Path, colours: NDArray[np.uint8], opacity: NDArray[np.uint8]) -> Picture:
    """Return colours, or where these say nothing, the opacity, as labels."""
    drawn, shown = colours.any(axis=2), opacity > 0
    agree = opacity.min() == opacity.max() if shown.all() else np.array_equal(drawn, shown)
    if not agree:
        return Picture(_of_opacity(path, colours, shown), False)
    if (colours == colours[..., :1]).all():
        return Picture(colours[..., 0], False)
    red, green, blue = np.moveaxis(colours.astype(np.uint32), 2, 0)
    return Picture(red << 16 | green << 8 | blue, True)


def _of_opacity(path: Path, colours: NDArray[np.uint8], shown: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return 255 where a picture is not clear, if nothing but that can be its mask."""
    visible = colours[shown]
    one_visible = len(visible) > 0 and bool((visible == visible[0]).all())
    one_colour = bool((colours == colours[0, 0]).all())
    if shown.all() or not one_visible or not (one_colour or visible[0].any()):
        raise CubeFormatError(
            f"{path}: expected a mask in the colours or in the opacity, got colours other than black in "
            f"{int(colours.any(axis=2).sum())} pixels and opacity in {int(shown.sum())}, which differ. "
            "Save the mask as a grey picture without transparency."
        )
    return np.where(shown, np.uint8(255), np.uint8(0))
