"""Losses on the weights of a choice of bands."""

import math

import pytest
import torch

from cuvis_ai.leaf.reading import View
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.training.selector_regularizers import SelectorDiversityRegularizer, SelectorEntropyRegularizer
from tests.cubes import random_cubes


def selector() -> SoftChannelSelector:
    node = SoftChannelSelector(3, init_method="explained")
    sketch = node.sketch()
    sketch.update(random_cubes(8).permute(0, 2, 3, 1).reshape(-1, 7))
    node.finalize(sketch)
    node.prepare_for_train()
    return node


@torch.no_grad()
def test_losses_are_their_formulas() -> None:
    node = selector()
    weights = node.get_selection_weights(hard=False).detach().double()
    p = weights / 3
    h = -float((p * p.log()).sum())
    entropy = float(SelectorEntropyRegularizer()(View(node, {})))
    assert entropy == pytest.approx((math.log(7) - h) / (math.log(7) - math.log(3)), abs=1e-5)
    assert float(SelectorEntropyRegularizer(target_entropy=1.0)(View(node, {}))) == pytest.approx(
        (h - 1) ** 2, rel=1e-4
    )
    rho = torch.corrcoef(random_cubes(8).double().permute(1, 0, 2, 3).reshape(7, -1))
    expected = (
        sum(float(weights[i] * weights[j] * rho[i, j] ** 2) for i in range(7) for j in range(7) if i != j) / 6
    )
    assert float(SelectorDiversityRegularizer()(View(node, {}))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [SelectorEntropyRegularizer(), SelectorDiversityRegularizer()])
def test_they_move_logits_until_the_choice_is_hard_for_good(loss: torch.nn.Module) -> None:
    node = selector()
    loss(View(node, {})).backward()
    assert bool((node.logits.grad != 0).any())
    node.logits.grad = None
    node.update_temperature(1000)
    loss(View(node, {})).backward()
    assert bool((node.logits.grad == 0).all())
