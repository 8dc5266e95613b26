"""What numbers stand for, compared and written down."""

import json

import pytest

from cuvis_ai.data.sources.read_scale import ReadScale
from cuvis_ai.data.sources.scaling import Scaling
from cuvis_ai.errors import GraphError


def scale(
    gain: float = 1.0, unit: str | None = None, *, applied: bool = False, known: bool = True
) -> ReadScale:
    return ReadScale(declared=Scaling(gain=(gain,), unit=unit, known=known), applied=applied)


def test_it_survives_being_written_as_text() -> None:
    one = ReadScale(declared=Scaling(gain=(1.0, 0.1), offset=(3.0,), unit="K"), applied=True)
    assert ReadScale.of_plain(json.loads(one.text)) == one


@pytest.mark.parametrize(
    ("trained", "given"),
    [
        (scale(0.1), scale(0.1 * (1 + 1e-9))),
        (scale(0.1, applied=True), scale(0.5, applied=True)),
        (scale(0.1, "K"), scale(0.1)),
        (scale(0.1), ReadScale(declared=Scaling(gain=(0.1,) * 3), applied=False)),
        (scale(), scale(applied=True)),  # nothing to apply
        (scale(0.1), scale(known=False)),
        (scale(0.1, known=False), scale(0.5, "K", applied=True)),
    ],
)  # fmt: skip
def test_numbers_that_stand_for_the_same_pass(trained: ReadScale, given: ReadScale) -> None:
    trained.check(given, "scene")


@pytest.mark.parametrize(
    ("trained", "given", "message"),
    [
        (scale(0.1), scale(0.2), "gain 0.1 and .*got gain 0.2 .*or train the graph with `scaled=True`"),
        (scale(0.1), scale(), "gain 0.1 and .*got gain 1 "),
        (scale(0.1, "K", applied=True), scale(0.1, "mK", applied=True), "in K, got .* in mK. Convert them.$"),
        (scale(0.1, applied=True), scale(0.1), "expected `scaled=True`"),
        (scale(), scale(0.1, applied=True), "expected `scaled=False`"),
        (ReadScale(declared=Scaling(gain=(0.1,) * 2), applied=False), ReadScale(declared=Scaling(gain=(0.1,) * 3), applied=False), "scale of training"),
    ],
)  # fmt: skip
def test_others_are_refused(trained: ReadScale, given: ReadScale, message: str) -> None:
    with pytest.raises(GraphError, match="^scene: .*" + message):
        trained.check(given, "scene")
