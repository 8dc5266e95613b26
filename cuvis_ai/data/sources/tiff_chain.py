"""The chain of a TIFF's directories, one a page: GDAL leaves out those that it cannot read."""

import struct
from pathlib import Path

from cuvis_ai.data.sources.decoding import UndecodableError

_FORMS = {42: ("H", 12, "I", 4), 43: ("Q", 20, "Q", 8)}
"""Of TIFF and BigTIFF: how entries are counted, bytes of one, how places are written, where the first is."""


def count_directories(path: Path) -> int:
    """Return how many directories follow each other in a file.

    Raises:
        UndecodableError: the chain leaves the file, or comes back to where it was.
    """
    with path.open("rb") as file:
        order = {b"II": "<", b"MM": ">"}.get(file.read(2), "<")
        form = _FORMS.get(struct.unpack(f"{order}H", file.read(2))[0])
        if form is None:
            raise UndecodableError("expected a TIFF file, got another.")
        counted, n_bytes, placed, first = form
        file.seek(first)
        seen = set[int]()
        try:
            while at := _number(file.read(struct.calcsize(placed)), order, placed):
                if at in seen:
                    raise UndecodableError(f"expected one directory after the other, got that at {at} again.")
                seen.add(at)
                file.seek(at)
                file.seek(_number(file.read(struct.calcsize(counted)), order, counted) * n_bytes, 1)
        except (struct.error, OSError, OverflowError) as err:
            raise UndecodableError(
                f"expected whole directories, got that of page {len(seen)} cut short."
            ) from err
    return len(seen)


def _number(content: bytes, order: str, form: str) -> int:
    return int(struct.unpack(f"{order}{form}", content)[0])
