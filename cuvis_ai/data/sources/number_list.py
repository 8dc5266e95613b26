"""Bands and wavelengths as text."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray


def listed(numbers: "Sequence[float] | NDArray[Any]") -> str:
    """Return bands or wavelengths as text: all of a few, of many the first and the last ones."""
    words = [f"{float(number):.10g}" for number in numbers]
    if len(words) > 12:
        words = [*words[:4], f"… ({len(words)} in all) …", *words[-3:]]
    return f"[{', '.join(words)}]"
