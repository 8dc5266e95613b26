"""The head's logits are z = scale · (score − bias)."""

import math

import pytest
import torch

from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.node.base import freeze, reset
from cuvis_ai.stats import ChannelMoments
from cuvis_ai.training.losses import AnomalyBCEWithLogits
from tests.cubes import random_cubes
from tests.graphs import data, detector, settings


def moments_of(scores: torch.Tensor) -> ChannelMoments:
    moments = ChannelMoments()
    moments.update(scores)
    return moments


def test_logits_are_scaled_distances_from_the_bias() -> None:
    head = RXLogitHead(init_scale=0.5, init_bias=3.0)
    scores = torch.tensor([1.0, 3.0, 9.0]).view(1, 1, 1, 3)
    torch.testing.assert_close(head(scores), torch.tensor([-1.0, 0.0, 3.0]).view(1, 1, 1, 3))
    assert head.emits_logits


def test_bias_starts_two_deviations_above_the_mean_with_denominator_n_minus_1() -> None:
    head = RXLogitHead(init_scale=0.5)
    head.finalize(moments_of(torch.tensor([[1.0], [2.0], [6.0]])))
    # Mean 3; squared differences 4 + 1 + 9 = 14, over n − 1 = 2.
    assert float(head.bias) == pytest.approx(3 + 2 * math.sqrt(7))
    assert float(head.scale) == pytest.approx(0.5)


def test_in_float64_the_bias_has_all_its_digits() -> None:
    head = RXLogitHead(init_scale=0.3).double()
    head.finalize(moments_of(torch.tensor([[1.0], [2.0], [6.0]])))
    assert float(head.bias) == pytest.approx(3 + 2 * math.sqrt(7), rel=1e-15)
    assert float(head.scale) == pytest.approx(0.3, rel=1e-15)


def test_a_given_bias_needs_no_data() -> None:
    given, fitted = RXLogitHead(init_bias=3.0), RXLogitHead()
    assert given.fitted
    assert not given.requires_initial_fit
    assert given.sketch is None
    assert not fitted.fitted
    assert fitted.requires_initial_fit
    assert fitted.sketch is ChannelMoments
    reset(given)
    assert float(given.bias) == 3.0


def test_scale_stays_positive_however_far_it_is_trained_down() -> None:
    head = RXLogitHead(init_bias=0.0)
    head.prepare_for_train()
    optimizer = torch.optim.SGD(head.parameters(), lr=10.0)
    before = float(head.scale.detach())
    for _ in range(5):
        optimizer.zero_grad()
        head(torch.ones(1, 1, 1, 1)).sum().backward()
        optimizer.step()
    freeze(head)
    assert 0 < float(head.scale) < before


def test_what_is_no_score_and_a_scale_that_is_not_positive_are_refused() -> None:
    with pytest.raises(GraphError, match="expected 1 channels .* got 2"):
        RXLogitHead().finalize(moments_of(torch.randn(4, 2)))
    with pytest.raises(ConfigError, match="init_scale: expected above 0, got 0"):
        RXLogitHead(init_scale=0.0)


def test_head_starts_at_mean_plus_two_deviations_and_keeps_its_scale_positive() -> None:
    graph = detector(AnomalyBCEWithLogits())
    graph.train(data(), settings())
    scores = graph.run(random_cubes(8), ["rx"])["rx"].double()
    head = graph.nodes["head"]
    assert isinstance(head, RXLogitHead)
    assert float(head.bias.detach()) == pytest.approx(float(scores.mean() + 2 * scores.std()), rel=1e-5)
    assert float(head.scale.detach()) == pytest.approx(1.0)
    graph.train(data(), settings(20, lr=1.0))
    assert float(head.scale.detach()) > 0
