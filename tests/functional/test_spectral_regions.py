"""Names of the parts of the spectrum."""

import pytest

from cuvis_ai.functional.spectral_regions import region


@pytest.mark.parametrize(
    ("nm", "name"),
    [(380, "ultraviolet"), (460, "blue"), (550, "green"), (660, "red"), (720, "red edge"), (850, "near infrared"),
     (1650, "shortwave infrared"), (9000, "longwave infrared")],
)  # fmt: skip
def test_regions(nm: float, name: str) -> None:
    assert region(nm) == name
