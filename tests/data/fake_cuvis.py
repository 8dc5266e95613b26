"""A stand-in for the vendor's `cuvis` package, as far as its public interface is used here.

`SessionFile(path)` with `len()` and `get_measurement(i)`, measurements whose `data["cube"]` has `array`
(h, w, c) and `wavelength` in nm, and `ProcessingContext(session).apply(measurement)`, which makes the cube
of a measurement that was saved without one. A "session" here is a .npz file under another name.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np


class Measurement:
    def __init__(self, values: np.ndarray | None, wavelengths: list[int] | None) -> None:
        self.data: dict[str, Any] = {}
        self._buffer = None if values is None else values.copy()
        self.wavelengths = wavelengths
        if self._buffer is not None:
            self.data["cube"] = SimpleNamespace(array=self._buffer, wavelength=wavelengths)

    def __del__(self) -> None:
        if self._buffer is not None:
            self._buffer[...] = 0  # the vendor's buffer is freed with its measurement


class SessionFile:
    def __init__(self, base: str) -> None:
        assert isinstance(base, str)  # some versions take no Path
        with np.load(base) as arrays:
            self.cubes = arrays["cubes"]
            self.unprocessed = set(arrays["unprocessed"].tolist())
            self.wavelengths = [int(value) for value in arrays["wavelengths"]] or None

    def __len__(self) -> int:
        return len(self.cubes)

    def get_measurement(self, frame: int) -> Measurement | None:
        if frame >= len(self):
            return None
        return Measurement(None if frame in self.unprocessed else self.cubes[frame], self.wavelengths)


class ProcessingContext:
    def __init__(self, base: SessionFile) -> None:
        self.session = base

    def apply(self, measurement: Measurement) -> Measurement:
        (frame,) = self.session.unprocessed
        return Measurement(self.session.cubes[frame], self.session.wavelengths)


def write_session(path: Any, cubes: np.ndarray, wavelengths: Any = (), unprocessed: Any = ()) -> None:
    """Write (n, h, w, c) values as a session that this module reads."""
    with path.open("wb") as file:
        np.savez(
            file, cubes=cubes, wavelengths=np.array(wavelengths), unprocessed=np.array(unprocessed, dtype=int)
        )
