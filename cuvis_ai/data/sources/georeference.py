"""`Georeference`: where a cube's pixels are on a map."""

from dataclasses import dataclass

Transform = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f) of x = a · column + b · row + c, y = d · column + e · row + f."""

_METRES = ('UNIT["metre",1', 'UNIT["Meter",1')
"""How systems in well-known text, of both versions, name that unit; of several the last is the map's."""


@dataclass(frozen=True, kw_only=True)
class Georeference:
    """An affine grid in a coordinate reference system.

    Attributes:
        transform: from columns and rows to map coordinates; the pixel in row 0 and column 0 reaches from
            0 to 1 in both, as in rasterio and GDAL.
        crs: the coordinate reference system as well-known text or an authority's code, such as
            "EPSG:32633"; None: unknown.

    Example:
        >>> grid = Georeference(transform=(2.0, 0.0, 500000.0, 0.0, -2.0, 4600000.0), crs="EPSG:32633")
        >>> grid.position(row=0, column=3)
        (500007.0, 4599999.0)
    """

    transform: Transform
    crs: str | None = None

    @property
    def in_metres(self) -> bool:
        """Whether the map's unit is known to be the metre."""
        crs = self.crs or ""
        return crs.startswith(("EPSG:326", "EPSG:327")) or any(unit in crs for unit in _METRES)

    def position(self, row: float, column: float) -> tuple[float, float]:
        """Return the map coordinates (x, y) of a pixel's centre."""
        a, b, c, d, e, f = self.transform
        column, row = column + 0.5, row + 0.5
        return a * column + b * row + c, d * column + e * row + f

    def pixel_size(self) -> tuple[float, float]:
        """Return the lengths of a pixel's sides along a row and along a column, in units of the map."""
        a, b, _, d, e, _ = self.transform
        return (a * a + d * d) ** 0.5, (b * b + e * e) ** 0.5
