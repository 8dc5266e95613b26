"""What a TIFF's tags say: wavelengths, bad-band flags, the order of pages, rows and columns."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_NUMBER = r"(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
_WITH_UNIT = re.compile(_NUMBER + r"\s*(nm|nanomet\w*|um|µm|μm|micromet\w*|microns?)\b", re.IGNORECASE)
_AXES = str.maketrans("YX", "hw")


def wavelengths(file: Any, bands: Sequence[int]) -> tuple[list[float] | None, str | None]:
    """Return the bands' wavelengths and their unit; all bands have one, or none counts.

    Args:
        file: rasterio's, opened.
        bands: numbers of the bands, from 1.
    """
    if microns := _numbers([file.tags(band, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM") for band in bands]):
        return microns, "um"
    tags = [_lower(file.tags(band)) for band in bands]
    if centres := _numbers([tag.get("wavelength") for tag in tags]):
        return centres, tags[0].get("wavelength_units")
    described = [_WITH_UNIT.search(file.descriptions[band - 1] or "") for band in bands]
    found = [match.groups() for match in described if match]
    if len(found) == len(bands) and len({unit.lower() for _, unit in found}) == 1:
        return [float(value) for value, _ in found], found[0][1]
    of_file = _lower(file.tags(ns="ENVI")) | _lower(file.tags())
    for name in ("wavelength", "wavelengths"):
        values = re.findall(_NUMBER, of_file.get(name, ""))
        if len(values) > 1:
            return [float(value) for value in values], of_file.get("wavelength_units")
    return None, None


def good_bands(file: Any, bands: Sequence[int]) -> list[float] | str | None:
    """Return the bands' flags `bbl`, 0 for bad, of each band or the file; what is wrong with them, in words.

    Args:
        file: rasterio's, opened.
        bands: numbers of the bands, from 1; one without a flag is good where others have one.
    """
    flags = [(_lower(file.tags(band, ns="ENVI")) | _lower(file.tags(band))).get("bbl") for band in bands]
    if not any(flags):
        text = (_lower(file.tags(ns="ENVI")) | _lower(file.tags())).get("bbl", "")
        flags = [word for word in re.split(r"[\s,{}]+", text) if word] or [None]
    if not any(flags):
        return None
    words = [{"true": "1", "false": "0"}.get((flag or "1").strip().lower(), flag or "1") for flag in flags]
    return _numbers(words) or f"expected numbers for `bbl`, got {words[:9]}"


def page_axes(description: str) -> tuple[str | None, str | None]:
    """Return the order of (pages, rows, columns) that a description says, and what to assume otherwise.

    OME's and ImageJ's pages are images. tifffile writes the shape of the array, whose first axis the pages
    are, and only if it was told its axes: of a shape alone, the axis that differs most is the bands.
    """
    if "<OME" in description[:2000] or description.startswith("ImageJ="):
        return "chw", None
    try:
        said = json.loads(description)
    except (ValueError, RecursionError):
        return None, "chw"
    if not isinstance(said, Mapping) or not isinstance(said.get("shape"), list):
        return None, "chw"
    axes = said.get("axes")
    if isinstance(axes, str) and len(axes) == len(said["shape"]):
        axes = "".join(axis for axis, n in zip(axes, said["shape"], strict=True) if n != 1)
        if len(axes) == 3 and {"Y", "X"} < set(axes):
            return re.sub("[^hw]", "c", axes.translate(_AXES)), None
    return None, None


def _lower(tags: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in tags.items()}


def _numbers(words: Sequence[str | None]) -> list[float] | None:
    """Return words as numbers; None if one is not."""
    if not all(word and re.fullmatch(_NUMBER, word.strip()) for word in words):
        return None
    return [float(word) for word in words if word]
