"""A bounded sample of a stream of rows."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]


class Thinned:
    """Keeps every s-th row of a stream, with s = 1, 2, 4, … as large as it takes to keep `limit` at most.

    The sample is even over the stream and the same in every epoch, whatever the sizes of the batches.

    Args:
        limit: rows that are kept at most; 1 or more.
        width: numbers a row.
    """

    def __init__(self, limit: int, width: int) -> None:
        self.limit = limit
        self.stride = 1
        self.seen = 0
        self._kept: list[Rows] = [np.empty((0, width), dtype=np.float32)]

    def update(self, rows: Rows) -> None:
        """Take in rows (n, width)."""
        first = -self.seen % self.stride
        self.seen += len(rows)
        self._kept.append(np.array(rows[first :: self.stride]))
        while sum(map(len, self._kept)) > self.limit:
            self.stride *= 2
            self._kept = [np.concatenate(self._kept)[::2]]

    @property
    def rows(self) -> Rows:
        """The rows kept, in the order of the stream."""
        return np.concatenate(self._kept)
