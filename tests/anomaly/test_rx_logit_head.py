"""The head's logits are z = scale · (score − bias)."""

import pytest

from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.training.losses import AnomalyBCEWithLogits
from tests.cubes import random_cubes
from tests.graphs import data, detector, settings


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
