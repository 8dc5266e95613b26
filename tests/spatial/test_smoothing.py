import pytest
import torch

from cuvis_ai.errors import ConfigError
from cuvis_ai.spatial.smoothing import LogSmooth
from tests.functional.test_filters import gaussian_by_loops


def test_logarithm_of_the_gaussian_mean_over_valid_pixels() -> None:
    cube, valid = torch.rand(2, 2, 8, 7, dtype=torch.float64), torch.rand(2, 8, 7) < 0.8
    output = LogSmooth(sigma=0.8)(cube, valid)
    expected = gaussian_by_loops(cube, valid, 0.8).clamp(min=1e-6).log()
    inside = valid[:, None].expand_as(cube)
    torch.testing.assert_close(output[inside], expected[inside])
    assert bool((output[~inside] == 0).all())


def test_halo_is_what_it_sees() -> None:
    node, cube = LogSmooth(), torch.rand(1, 1, 11, 11)
    other = cube.clone()
    other[..., 5, 5] += 1
    changed = (node(cube) != node(other))[0, 0].nonzero()
    assert node.halo == 2
    assert (changed.amin(0).tolist(), changed.amax(0).tolist()) == ([3, 3], [7, 7])


def test_impossible_arguments() -> None:
    with pytest.raises(ConfigError, match="LogSmooth: sigma: expected above 0"):
        LogSmooth(0.0)
