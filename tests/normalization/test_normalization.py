"""Normalizers against their formulas and scikit-learn."""

import logging

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from cuvis_ai.errors import ConfigError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.normalization.normalization import MinMaxNormalizer, StandardNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.stats import ChannelMoments, Extrema
from tests.cubes import random_cubes


def fitted(cube: torch.Tensor, eps: float) -> MinMaxNormalizer:
    node = MinMaxNormalizer(eps=eps).to(cube.dtype)
    extrema = Extrema()
    extrema.update(pixels_of(cube))
    node.finalize(extrema)
    return node


def test_agrees_with_scikit_learn_and_sends_extremes_to_zero_and_one() -> None:
    cube = random_cubes(4, dtype=torch.float64)
    output = pixels_of(fitted(cube, 0.0)(cube))
    pixels = pixels_of(cube).numpy()
    np.testing.assert_allclose(output, MinMaxScaler().fit_transform(pixels), atol=1e-12)
    assert output.amin(0).eq(0).all()
    np.testing.assert_allclose(output.amax(0), 1, rtol=1e-12)


def test_formula_with_eps() -> None:
    cube = random_cubes(4, dtype=torch.float64)
    node = fitted(cube, 0.5)
    low, high = (x[:, None, None] for x in (node.running_min, node.running_max))
    torch.testing.assert_close(node(cube), (cube - low) / (high - low + 0.5))


def test_constant_channel_becomes_zero_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    cube = random_cubes(4)
    cube[:, 2] = 5.0
    with caplog.at_level(logging.WARNING):
        node = fitted(cube, 1e-6)
    assert "1 of 7 channels do not vary" in caplog.text
    assert "[2]" in caplog.text
    assert not node(cube)[:, 2].any()
    assert not node(cube + 1)[:, 2].any()


def test_without_running_stats_each_cube_has_its_own_extremes() -> None:
    cube = random_cubes(3)
    output = MinMaxNormalizer(use_running_stats=False, eps=0.0)(cube)
    assert output.amin((2, 3)).eq(0).all()
    torch.testing.assert_close(output.amax((2, 3)), torch.ones(3, 7))


def test_negative_eps_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"eps: expected 0 or more, got -1"):
        MinMaxNormalizer(eps=-1)


def test_extremes_of_a_cube_are_those_of_its_valid_pixels_and_it_is_never_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = Graph()
    graph.add_node(MinMaxNormalizer(use_running_stats=False, eps=0.0))
    assert graph.halo is None
    cube, valid = random_cubes(3), torch.rand(3, 6, 5) < 0.7
    valid[2] = False
    output = graph(torch.where(valid[:, None], cube, 1e6), valid=valid).output
    for one, mask, result in zip(cube[:2], valid, output, strict=False):
        pixels = one[:, mask]
        low, high = pixels.amin(1, keepdim=True), pixels.amax(1, keepdim=True)
        torch.testing.assert_close(result[:, mask], (pixels - low) / (high - low))
    assert bool(output[2].isnan().all())
    monkeypatch.setattr("cuvis_ai.execution.execution.PIXELS", 7)
    assert torch.equal(graph(cube).output, graph.nodes["min_max_normalizer"](cube))


def standardized(cube: torch.Tensor, eps: float, *, per_channel: bool = True) -> torch.Tensor:
    node = StandardNormalizer(eps, per_channel=per_channel).to(cube.dtype)
    moments = ChannelMoments()
    moments.update(pixels_of(cube))
    node.finalize(moments)
    return pixels_of(node(cube))


def test_standard_agrees_with_scikit_learn() -> None:
    cube = random_cubes(4, dtype=torch.float64)
    expected = StandardScaler().fit_transform(pixels_of(cube).numpy())
    np.testing.assert_allclose(standardized(cube, 0.0), expected, atol=1e-10)


def test_standard_with_eps_and_of_all_channels_by_their_formulas() -> None:
    cube = random_cubes(4, dtype=torch.float64)
    pixels = pixels_of(cube).numpy()
    own = (pixels - pixels.mean(0)) / (pixels.std(0) + 0.5)
    np.testing.assert_allclose(standardized(cube, 0.5), own, atol=1e-10)
    common = (pixels - pixels.mean()) / (pixels.std() + 0.5)
    np.testing.assert_allclose(standardized(cube, 0.5, per_channel=False), common, atol=1e-10)


@pytest.mark.parametrize("constant", [5.0, 0.1, 0.0, 2e4 + 1 / 3])
def test_standard_makes_a_constant_channel_zero(constant: float, caplog: pytest.LogCaptureFixture) -> None:
    cube = random_cubes(4)
    cube[:, 2] = constant
    with caplog.at_level(logging.WARNING):
        output = standardized(cube, 0.0)
    assert "1 of 7 channels do not vary in the training data and become 0: [2]" in caplog.text
    assert not output[:, 2].any()


def test_standard_refuses_a_negative_eps() -> None:
    with pytest.raises(ConfigError, match=r"StandardNormalizer: eps: expected 0 or more, got -1"):
        StandardNormalizer(eps=-1.0)
