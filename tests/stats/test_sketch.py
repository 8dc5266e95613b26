"""What updates of sketches have in common: which pixels are taken, and in which blocks."""

from typing import ClassVar, Self

import numpy as np
import pytest
import torch
from torch import Tensor

from cuvis_ai.errors import GraphError
from cuvis_ai.stats import Extrema, Moments, Sketch, Structure, update_all
from cuvis_ai.stats.blocks import block_length
from cuvis_ai.stats.sketch import selected


class Seen(Sketch):
    """Holds copies of all that it is given."""

    carried_by: ClassVar[Structure] = Structure.NOTHING

    def __init__(self) -> None:
        self.pixels: list[Tensor] = []
        self.truth: list[Tensor] = []

    @property
    def count(self) -> int:
        return sum(map(len, self.pixels))

    @property
    def channels(self) -> int:
        return self.pixels[0].shape[1] if self.pixels else 0

    def update(self, pixels: Tensor, valid: Tensor | None = None, truth: Tensor | None = None) -> None:
        assert valid is None
        self.pixels.append(pixels.clone())
        self.truth += [] if truth is None else [truth.clone()]

    def merge(self, other: Self) -> Self:
        raise NotImplementedError


def pixels(n: int, c: int = 6) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(n, c)))


def flags(n: int, share: float = 0.7) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).random(n) < share)


@pytest.mark.parametrize("with_valid", [False, True])
def test_each_sketch_sees_each_valid_pixel_once_with_its_truth(with_valid: bool) -> None:
    length = block_length(pixels(1))
    x, truth = pixels(3 * length + 5), flags(3 * length + 5, 0.2)
    valid = flags(len(x)) if with_valid else None
    sketches = [Seen(), Seen()]
    update_all(sketches, x, valid, truth)
    chosen = slice(None) if valid is None else valid
    for sketch in sketches:
        assert max(map(len, sketch.pixels)) <= length
        assert torch.equal(torch.cat(sketch.pixels), x[chosen])
        assert torch.equal(torch.cat(sketch.truth), truth[chosen])


def test_selected_pixels_are_themselves_where_all_are_valid_and_a_copy_otherwise() -> None:
    x, valid = pixels(9), flags(9)
    assert selected(x, None) is x
    assert selected(x, torch.ones(9, dtype=torch.bool)) is x
    buffer = torch.empty_like(x)
    for got in (selected(x, valid), selected(x, valid, buffer)):
        assert torch.equal(got, x[valid])
        assert not np.shares_memory(got.numpy(), x.numpy())
    assert np.shares_memory(selected(x, valid, buffer).numpy(), buffer.numpy())


@pytest.mark.parametrize("kind", [Moments, Extrema])
def test_rows_with_a_value_that_is_not_finite_are_left_out(kind: type[Sketch]) -> None:
    x, sketch, finite = pixels(5), kind(), kind()
    x[1, 2], x[3, 0] = float("nan"), float("inf")
    sketch.update(x)
    finite.update(x[[0, 2, 4]])
    assert sketch.count == 3
    assert all(
        torch.equal(getattr(sketch, key), one) for key, one in vars(finite).items() if key in ("mean", "low")
    )


@pytest.mark.parametrize("kind", [Moments, Extrema])
def test_channels_have_to_be_those_of_the_first_pixels(kind: type[Sketch]) -> None:
    sketch = kind()
    sketch.check_channels(3)  # nothing seen yet
    sketch.update(pixels(4))
    sketch.check_channels(6)
    with pytest.raises(GraphError, match=r"expected 6 channels.*got 3"):
        sketch.check_channels(3)
