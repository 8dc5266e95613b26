import pytest
import torch

from cuvis_ai.errors import ConfigError
from cuvis_ai.functional.morphology import background
from cuvis_ai.spatial.top_hat import TopHat


def test_input_less_its_background_and_0_at_invalid_pixels() -> None:
    cube, valid = torch.randn(2, 1, 12, 9), torch.rand(2, 12, 9) < 0.8
    output = TopHat(5)(cube, valid)
    inside = valid[:, None]
    torch.testing.assert_close(output[inside], (cube - background(cube, valid, 5))[inside])
    assert bool((output[~inside] == 0).all())
    torch.testing.assert_close(TopHat(5)(cube), cube - background(cube, None, 5))


def test_halo_is_what_it_sees() -> None:
    """The middle depends on pixels that are twice the half extent away, and on none beyond."""
    node, noise = TopHat(5), torch.rand(300, 1, 11, 11)
    assert node.halo == 4

    def middle_with(value: float, margin: int) -> torch.Tensor:
        changed = torch.full_like(noise, value)
        inside = slice(margin, 11 - margin)
        changed[..., inside, inside] = noise[..., inside, inside]
        return node(changed)[..., 5, 5]

    assert torch.equal(middle_with(-9.0, 1), middle_with(9.0, 1))
    assert not torch.equal(middle_with(-9.0, 2), middle_with(9.0, 2))


@pytest.mark.parametrize("extent", [1, 4, 0, -3])
def test_impossible_arguments(extent: int) -> None:
    with pytest.raises(ConfigError, match="TopHat: extent: expected an odd number of pixels"):
        TopHat(extent)
