"""A gradient that is no number, of a loss that is one, stops training before it reaches a weight."""

import re
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from cuvis_ai.errors import NonFiniteLossError
from cuvis_ai.leaf.bases import Loss, Read, View, pooled
from cuvis_ai.training.engine.finite_gradients import raise_if_gradient_not_finite
from cuvis_ai.training.losses import AnomalyBCEWithLogits
from tests.graphs import data, detector, settings


class RootAtZero(Loss):
    """The root of 0 · output²: it is 0, and its derivative 0 · ∞, from some step on."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.seen = 0

    def reads(self) -> frozenset[Read]:
        return frozenset({Read.OUTPUT})

    def forward(self, view: View) -> torch.Tensor:
        self.seen += torch.is_grad_enabled()
        inside = view[Read.OUTPUT].square().sum(1, keepdim=True)
        return pooled((inside * 0).sqrt() if self.seen > self.steps else inside, view.valid)


@pytest.mark.parametrize(("steps", "epoch"), [(0, "0 (1st)"), (3, "0 (1st)"), (5, "1 (2nd)")])
@pytest.mark.parametrize("stats", ["frozen", "follow"])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_it_stops_before_the_weights_are_reached_and_names_parameter_epoch_and_step(
    clip: float | None, stats: str, steps: int, epoch: str, tmp_path: Path
) -> None:
    graph = detector(AnomalyBCEWithLogits(), stats=stats)
    graph.add_leaf_node(RootAtZero(steps), parent="pca", name="mine")
    keep = ModelCheckpoint(dirpath=tmp_path, save_top_k=-1, every_n_train_steps=1)
    with pytest.raises(
        NonFiniteLossError,
        match=r"^`nodes\.pca\.\S*components\S*`: "
        + re.escape(f"gradient NaN or infinite in epoch {epoch}, step {steps + 1}"),
    ):
        graph.train(data(), settings(9, callbacks=[keep], gradient_clip_val=clip))
    assert all(bool(tensor.isfinite().all()) for tensor in graph.state_dict().values())
    assert len(list(tmp_path.glob("*.ckpt"))) == steps
    for checkpoint in tmp_path.glob("*.ckpt"):
        state = torch.load(checkpoint, weights_only=True)["state_dict"]
        assert all(bool(tensor.isfinite().all()) for tensor in state.values())


def test_large_gradients_whose_sum_overflows_are_numbers() -> None:
    weight, bias, frozen = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    weight.grad = torch.full((2,), 3e38)
    bias.grad = torch.tensor([-3e38, 0.0])
    named = {"weight": weight, "bias": bias, "frozen": frozen}.items()
    raise_if_gradient_not_finite(named, "epoch 0")
    bias.grad[1] = -torch.inf
    with pytest.raises(NonFiniteLossError, match=r"^`bias`: gradient .* in epoch 0"):
        raise_if_gradient_not_finite(named, "epoch 0")
