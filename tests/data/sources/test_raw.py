"""Boxes of a raw file, in every order of axes, against NumPy."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.sources.raw import RawSource

V = np.arange(6 * 7 * 5, dtype=np.int32).reshape(6, 7, 5)
ORDERS = [(2, 0, 1), (0, 2, 1), (0, 1, 2), (2, 1, 0)]


@pytest.mark.parametrize("gap", [0, 1 << 20])
@pytest.mark.parametrize("order", ORDERS)
def test_skipping_and_reading_over_gaps_agree(
    tmp_path: Path, order: tuple[int, int, int], gap: int, monkeypatch
) -> None:
    monkeypatch.setattr("cuvis_ai.data.sources.raw._GAP", gap)
    path = tmp_path / "raw.bin"
    path.write_bytes(b"head" + V.transpose(order).tobytes())
    source = RawSource(path=path, offset=4, dtype=V.dtype, shape=V.shape, order=order)
    for box in ((slice(1, 4), slice(2, 6), slice(1, 4)), (slice(5, 6), slice(6, 7), slice(4, 5))):
        np.testing.assert_array_equal(source.read(*box), V[box])
