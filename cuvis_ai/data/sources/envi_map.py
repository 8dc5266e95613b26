"""Map positions in ENVI headers: `map info` and `coordinate system string`.

A rotation counts counter-clockwise in degrees; one of 180 is how GDAL reads and writes rows that go north.
"""

import math
import re
from collections.abc import Mapping

from cuvis_ai.data.sources.georeference import Georeference

_WGS_84 = re.compile(r"wgs[ -]?_?(19)?84", re.IGNORECASE)
_NORTHWARDS = 180.0
_METRES, _DEGREES = ("", "meters", "meter", "metres", "metre", "m"), ("", "degrees", "degree")
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
        rotation = float(options.get("rotation", 0))
    except ValueError:
        return None, f"expected a name and six numbers in `map info`, got {fields['map info'][:80]!r}"
    if not all(math.isfinite(size) and size for size in (width, height)):
        return None, f"expected pixels of a size in `map info`, got {width:g} x {height:g}"
    angle = -math.radians(rotation)
    a, b = math.cos(angle) * width, -math.sin(angle) * width
    d, e = -math.sin(angle) * height, -math.cos(angle) * height
    if rotation == _NORTHWARDS:
        a, b, d, e = width, 0.0, 0.0, height
    c, f = x - a * (column - 1) - b * (row - 1), y - d * (column - 1) - e * (row - 1)
    return Georeference(transform=(a, b, c, d, e, f), crs=_crs(fields, words, options.get("units"))), None


def _crs(fields: Mapping[str, str], words: list[str], units: str | None) -> str | None:
    """The system by its text, else by the names in `map info`; None for what is not known surely."""
    if text := fields.get("coordinate system string", "").strip():
        return text
    if not any(_WGS_84.fullmatch(word) for word in words[7:]):
        return None
    name, unit = words[0].lower(), (units or "").strip().lower()
    if name == "utm" and len(words) > 8 and words[7].isdigit() and unit in _METRES:
        south = words[8].lower().startswith("s")
        return f"EPSG:32{7 if south else 6}{int(words[7]):02d}"
    return "EPSG:4326" if name.startswith("geographic") and unit in _DEGREES else None


def map_fields(georeference: Georeference) -> dict[str, str]:
    """Return the header's fields that say where pixels are on a map.

    A skewed or mirrored grid cannot be written; then there are none.
    """
    a, b, c, d, e, f = georeference.transform
    width, height = math.hypot(a, b), math.hypot(d, e)
    rotation = _NORTHWARDS if e > 0 == b == d else -math.degrees(math.atan2(-b, a))
    crs = georeference.crs
    utm = _UTM.fullmatch(crs or "")
    name, after = "Arbitrary", ""
    if utm:
        name, after = "UTM", f", {int(utm[2])}, {'North' if utm[1] == '6' else 'South'}, WGS-84, units=Meters"
    elif crs == "EPSG:4326":
        name, after = "Geographic Lat/Lon", ", WGS-84, units=Degrees"
    if rotation:
        after += f", rotation={rotation!r}"
    fields = {"map info": f"{name}, 1, 1, {c!r}, {f!r}, {width!r}, {height!r}{after}"}
    if crs and name == "Arbitrary":
        fields["coordinate system string"] = crs
    read, _ = georeference_of(fields)
    steps = 1e-9 * max(width, height)
    same = read is not None and all(
        abs(one - other) <= steps for one, other in zip(read.transform, georeference.transform, strict=True)
    )
    return fields if same else {}
