"""`BandSelection`: which bands of a data set are kept, and their wavelengths."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.cube import Cube
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.data.sources.number_list import listed
from cuvis_ai.data.sources.read_scale import ReadScale
from cuvis_ai.data.sources.scaling import Scaling
from cuvis_ai.errors import ConfigError, CubeFormatError

_SAME_BAND_NM = 1.0
"""Two centres closer than this are one band: headers round them, sensors drift by tenths of a nm."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BandSelection:
    """The bands that every cube of a data set must have, and those that are kept."""

    n_bands: int
    """Number of bands in the files."""
    kept: NDArray[np.int64]
    """Positions of the kept bands in the files, from 0, ascending."""
    file_wavelengths: NDArray[np.float64] | None
    """Band centres in nm as the reference cube has them; None where it has none."""
    wavelengths: NDArray[np.float64] | None
    """Band centres of the kept bands in nm; None where they are unknown."""
    reference: str
    """The file that decided."""
    by_header: bool
    """Whether the reference's own bad-band flags decided, rather than a list."""
    scaling: Scaling
    """What the reference's stored numbers stand for."""
    scaled: bool
    """Whether scale factors are applied, so that other files may have others."""
    without_data: tuple[int, ...] = ()
    """Positions of bands that were dropped since the training split has no data in them."""

    @classmethod
    def of(cls, cube: Cube, reading: ReadingOptions) -> Self:
        """Return the bands to keep of this cube and of all that resemble it.

        Args:
            cube: the data set's first cube.
            reading: names bad bands and wavelengths where the cube's own are not to count.

        Raises:
            ConfigError: a position that the cube does not have, no band left, or a wrong number of
                wavelengths.
        """
        n_bands = cube.shape[2]
        bad_bands, wavelengths = reading.bad_bands, reading.wavelengths
        bad = np.zeros(n_bands, dtype=bool)
        if bad_bands is not None:
            unknown = sorted({int(band) for band in bad_bands} - set(range(n_bands)))
            if unknown:
                raise ConfigError(
                    f"`bad_bands`: expected positions from 0 to {n_bands - 1}, as {cube.path} has {n_bands} "
                    f"bands, got {listed(unknown)}. Count bands from 0."
                )
            bad[np.asarray(list(bad_bands), dtype=np.int64)] = True
        elif cube.bad_bands is not None:
            bad = cube.bad_bands
        if bad.all():
            source = "`bad_bands`" if bad_bands is not None else f"the bad-band list of {cube.path}"
            raise ConfigError(
                f"{source}: expected at least one good band of {n_bands}, got none. Pass `bad_bands=[…]` "
                "with the positions to drop."
            )
        if wavelengths is not None and len(wavelengths) != n_bands:
            raise ConfigError(
                f"`wavelengths`: expected {n_bands} values, one for each band of {cube.path}, "
                f"got {len(wavelengths)}. Give the centres of all bands, the bad ones included."
            )
        axis = cube.wavelengths if wavelengths is None else np.asarray(list(wavelengths), dtype=np.float64)
        kept = np.flatnonzero(~bad)
        return cls(
            n_bands=n_bands,
            kept=kept,
            file_wavelengths=cube.wavelengths,
            wavelengths=None if axis is None else axis[kept],
            reference=str(cube.path),
            by_header=bad_bands is None,
            scaling=cube.scaling,
            scaled=bool(reading.scaled),
        )

    def without(self, bands: NDArray[np.int64]) -> Self:
        """Return the selection without some of its bands, positions in the files."""
        keep = ~np.isin(self.kept, bands)
        wavelengths = None if self.wavelengths is None else self.wavelengths[keep]
        dropped = tuple(int(band) for band in bands)
        return replace(self, kept=self.kept[keep], wavelengths=wavelengths, without_data=dropped)

    @property
    def scale(self) -> ReadScale:
        """What the numbers of the kept bands stand for, as they are read."""
        return ReadScale(declared=self.scaling.of_bands(self.kept.tolist()), applied=self.scaled)

    @property
    def selector(self) -> NDArray[np.int64] | slice:
        """The kept bands as an index of the last axis; a slice where nothing lies between them."""
        first, last = int(self.kept[0]), int(self.kept[-1])
        return slice(first, last + 1) if last - first + 1 == len(self.kept) else self.kept

    def check(self, cube: Cube) -> None:
        """Refuse a cube whose bands are not those of the reference.

        Raises:
            CubeFormatError: another number of bands, wavelengths, scale factors, another unit, or a kept band
                that this cube's header flags as bad.
        """
        if cube.shape[2] != self.n_bands:
            raise CubeFormatError(
                f"{cube.path}: expected {self.n_bands} bands as in {self.reference}, "
                f"got {cube.shape[2]}. Keep cubes of one sensor in a data set."
            )
        if cube.wavelengths is not None and self.file_wavelengths is not None:
            shift = np.abs(cube.wavelengths - self.file_wavelengths)
            if not shift.max() <= _SAME_BAND_NM:
                band = int(shift.argmax())
                raise CubeFormatError(
                    f"{cube.path}: expected the wavelengths of {self.reference}, got band {band} at "
                    f"{cube.wavelengths[band]:g} nm instead of {self.file_wavelengths[band]:g} nm. "
                    "Keep cubes of one spectral axis in a data set."
                )
        if remedy := cube.scaling.unlike(self.scaling, applied=self.scaled):
            raise CubeFormatError(
                f"{cube.path}: expected numbers of the scale of {self.reference}, {self.scaling}, got "
                f"{cube.scaling}. {remedy}."
            )
        if self.by_header and cube.bad_bands is not None:
            flagged = self.kept[cube.bad_bands[self.kept]]
            if len(flagged):
                raise CubeFormatError(
                    f"{cube.path}: expected good bands where {self.reference} has them, got bands "
                    f"{listed(flagged)} flagged bad. Pass `bad_bands=[…]` with what to drop in all cubes."
                )
