"""A gradient step of frozen MinMax -> TrainablePCA costs one folded product each way."""

from collections.abc import Callable

import torch
from harness import Comparison, main
from torch import Tensor, nn
from work import COMPONENTS, batches_of, chain, fit, pixels_a

from cuvis_ai.execution.execution import Execution
from cuvis_ai.leaf import Loss, Read, View
from cuvis_ai.leaf.bases import Attached
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.engine.epoch import Losses
from cuvis_ai.training.engine.finite_gradients import raise_if_gradient_not_finite


class ScoreEnergy(Loss):
    """Mean square of the scores."""

    def reads(self) -> frozenset[Read]:
        """The scores."""
        return frozenset({Read.OUTPUT})

    def forward(self, view: View) -> Tensor:
        """Return it."""
        return view[Read.OUTPUT].square().mean()


def fitted() -> tuple[Graph, MinMaxNormalizer, TrainablePCA]:
    """Return the graph after its statistical phase, the PCA's components a parameter."""
    graph = fit(chain(trainable=True), batches_of(pixels_a()))
    normalizer, pca, _ = graph.nodes.values()
    assert isinstance(normalizer, MinMaxNormalizer)
    assert isinstance(pca, TrainablePCA)
    pca.prepare_for_train()
    return graph, normalizer, pca


def steps(
    loss_of: Callable[[Tensor], Tensor],
    parameters: list[nn.Parameter],
    before_step: Callable[[], object] = lambda: None,
) -> Callable[[], object]:
    """Return an epoch of steps with Adam; `before_step` sees the gradients."""
    batches = batches_of(pixels_a())
    optimizer = torch.optim.Adam(parameters, lr=1e-4)

    def run() -> None:
        for batch in batches:
            optimizer.zero_grad()
            loss_of(batch["cube"]).backward()
            before_step()
            optimizer.step()

    return run


def ours() -> Callable[[], object]:
    """Execution, losses and the checks of both, as the Lightning module and its callbacks call them."""
    graph, _, pca = fitted()
    execution = Execution(graph.topology, graph.nodes)
    losses = Losses(execution, [Attached(ScoreEnergy(), pca)], [])

    def loss_of(cube: Tensor) -> Tensor:
        evaluation = execution.evaluate(cube, losses.points())
        values, _ = losses(evaluation, {"cube": cube})
        losses.raise_if_not_finite(values, "a step")
        return losses.total(values)

    def check() -> None:
        raise_if_gradient_not_finite(pca.named_parameters(), "a step")

    return steps(loss_of, list(pca.parameters()), check)


def constants() -> tuple[Tensor, Tensor, Tensor, nn.Parameter]:
    """Return minimum, scale, mean and components, by hand."""
    _, normalizer, pca = fitted()
    scale = 1 / (normalizer.running_max - normalizer.running_min + normalizer.eps)
    return normalizer.running_min, scale, pca.mean, nn.Parameter(pca.components.detach().clone())


def folded() -> Callable[[], object]:
    """One matrix product, normalization and mean in its weight and bias."""
    low, scale, mean, components = constants()

    def loss_of(cube: Tensor) -> Tensor:
        weight = components * scale
        bias = -(components @ mean) - weight @ low
        return (
            torch.addmm(bias, cube.permute(0, 2, 3, 1).reshape(-1, cube.shape[1]), weight.T).square().mean()
        )

    return steps(loss_of, [components])


def node_by_node() -> Callable[[], object]:
    """Each node by itself."""
    low, scale, mean, components = constants()

    def loss_of(cube: Tensor) -> Tensor:
        normalized = (cube - low[:, None, None]) * scale[:, None, None]
        centred = normalized - mean[:, None, None]
        return torch.einsum("kc,bchw->bkhw", components, centred).square().mean()

    return steps(loss_of, [components])


ALTERNATIVES = {"ours": ours, "folded by hand": folded, "node by node": node_by_node}

COMPARISONS = [
    Comparison(
        claim=f"gradient steps, MinMax -> PCA({COMPONENTS})", ours="ours", peer="folded by hand", at_most=1.15
    ),
    Comparison(
        claim=f"gradient steps, MinMax -> PCA({COMPONENTS})", ours="ours", peer="node by node", at_most=1 / 4
    ),
]

if __name__ == "__main__":
    main(ALTERNATIVES, COMPARISONS)
