"""Map positions in ENVI headers: `map info` and `coordinate system string`.

A rotation counts counter-clockwise in degrees, as GDAL reads it.
"""

import math
import re
from collections.abc import Mapping

from cuvis_ai.data.sources.georeference import Georeference

_WGS_84 = re.compile(r"wgs[ -]?_?(19)?84", re.IGNORECASE)
_UTM = re.compile(r"EPSG:32([67])(\d\d)$")


def georeference_of(fields: Mapping[str, str]) -> tuple[Georeference | None, str | None]:
    """Return where a header's pixels are on a map, None if it does not say so; and what is wrong with it.

    Args:
        fields: the header's, by lower-case name.
    """
    if "map info" not in fields:
        return None, None
    words = [word.strip() for word in fields["map info"].split(",")]
    options = {
        key.strip().lower(): value for key, equals, value in (word.partition("=") for word in words) if equals
    }
    try:
        # Pixels count from 1, and whole numbers are their upper left corners.
        column, row, x, y, width, height = (float(word) for word in words[1:7])
        angle = -math.radians(float(options.get("rotation", 0)))
    except ValueError:
        return None, f"expected a name and six numbers in `map info`, got {fields['map info'][:80]!r}"
    a, b = math.cos(angle) * width, -math.sin(angle) * width
    d, e = -math.sin(angle) * height, -math.cos(angle) * height
    c, f = x - a * (column - 1) - b * (row - 1), y - d * (column - 1) - e * (row - 1)
    return Georeference(transform=(a, b, c, d, e, f), crs=_crs(fields, words)), None


def _crs(fields: Mapping[str, str], words: list[str]) -> str | None:
    """The system by its text, else by the names in `map info`; None for what is not known surely."""
    if text := fields.get("coordinate system string", "").strip():
        return text
    if not any(_WGS_84.fullmatch(word) for word in words[7:]):
        return None
    if words[0].lower() == "utm" and len(words) > 8 and words[7].isdigit():
        south = words[8].lower().startswith("s")
        return f"EPSG:32{7 if south else 6}{int(words[7]):02d}"
    return "EPSG:4326" if words[0].lower().startswith("geographic") else None


def map_fields(georeference: Georeference) -> dict[str, str]:
    """Return the header's fields that say where pixels are on a map.

    A grid whose axes are not at right angles cannot be written; then there are none.
    """
    a, b, c, d, e, f = georeference.transform
    width, height = georeference.pixel_size()
    angle = math.atan2(-b, a)
    cos, sin = math.cos(angle), math.sin(angle)
    expected = (cos * width, -sin * width, -sin * height, -cos * height)
    if any(abs(x - y) > 1e-9 * max(width, height) for x, y in zip(expected, (a, b, d, e), strict=True)):
        return {}
    crs = georeference.crs
    utm = _UTM.fullmatch(crs or "")
    name, after = "Arbitrary", ""
    if utm:
        name, after = "UTM", f", {int(utm[2])}, {'North' if utm[1] == '6' else 'South'}, WGS-84, units=Meters"
    elif crs == "EPSG:4326":
        name, after = "Geographic Lat/Lon", ", WGS-84, units=Degrees"
    if angle:
        after += f", rotation={-math.degrees(angle)!r}"
    fields = {"map info": f"{name}, 1, 1, {c!r}, {f!r}, {width!r}, {height!r}{after}"}
    if crs and name == "Arbitrary":
        fields["coordinate system string"] = crs
    return fields
