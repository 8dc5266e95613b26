"""Cubert's session files through the vendor's `cuvis` package."""

from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType

import numpy as np

from cuvis_ai.data.sources.contents import Array, CubeContents
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.data.sources.members import MemberSource
from cuvis_ai.errors import CubeFormatError, MissingExtraError, import_extra


def read(path: Path, key: str | None) -> CubeContents:
    """Return one measurement of a session, as processed when it was recorded.

    Args:
        path: the .cu3s file.
        key: the measurement's number, from 0; None: the only one.

    Raises:
        CubeFormatError: there is no such measurement, or several and no key.
        MissingExtraError: `cuvis` or the SDK that it needs is not installed.
    """
    n = n_measurements(path)
    if key is None and n != 1:
        raise CubeFormatError(
            f"{path}: expected one measurement, got {n}. Pass key=, a number from 0 to {n - 1}."
        )
    number = key or "0"
    if not number.isdecimal() or int(number) >= n:
        raise CubeFormatError(f"{path}: expected key= to be a number from 0 to {n - 1}, got {key!r}.")
    values, wavelengths = _measurement(path, int(number), path.stat().st_mtime_ns)
    h, w, c = values.shape
    source = MemberSource(load=partial(_load, path, int(number)), shape=(h, w, c), declared=values.dtype)
    return CubeContents(source=source, axes="hwc", fixed=True, wavelengths=wavelengths, wavelength_units="nm")


def n_measurements(path: Path) -> int:
    """Return how many measurements a session holds."""
    return len(_cuvis(path).SessionFile(str(path)))


def _load(path: Path, number: int, *box: slice) -> Array:
    return _measurement(path, number, path.stat().st_mtime_ns)[0][box].copy()


@lru_cache(maxsize=1)
def _measurement(path: Path, number: int, changed: int) -> tuple[Array, list[float] | None]:
    """Return a measurement's cube (h, w, c) and wavelengths; `changed` makes a rewritten file a new one."""
    cuvis = _cuvis(path)
    session = cuvis.SessionFile(str(path))
    measurement = session.get_measurement(number)
    if measurement is not None and "cube" not in measurement.data:
        measurement = cuvis.ProcessingContext(session).apply(measurement)
    if measurement is None or "cube" not in measurement.data:
        raise CubeFormatError(
            f"{path}: expected a cube in measurement {number}, got none. "
            "Process the session in the vendor's software, and save it with its cubes."
        )
    image = measurement.data["cube"]
    wavelengths = None if image.wavelength is None else [float(value) for value in image.wavelength]
    # The vendor's array lies in a buffer that is freed with its measurement.
    return np.array(image.array), wavelengths


def _cuvis(path: Path) -> ModuleType:
    try:
        return import_extra("cuvis", "cu3s", f"reading {path}")
    except (SystemExit, OSError) as err:  # the vendor's package ends the process where its SDK is missing
        raise MissingExtraError(
            f"reading {path}: expected the vendor's SDK, which the package `cuvis` does not find. "
            "Install the Cuvis SDK, set the environment variable CUVIS to its folder, or convert the session "
            "where it is installed: `cuvis-ai convert session.cu3s folder/`."
        ) from err


FORMAT = CubeFormat(read=read, suffixes=(), other_suffixes=(".cu3s",))
