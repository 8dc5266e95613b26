"""What leaves need of their parent."""

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf.bases import Leaf
from cuvis_ai.leaf.parents import explained_by, projection_of, selection_of
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.stats import ChannelMoments, Moments
from cuvis_ai.training.losses import OrthogonalityLoss, SelectorEntropyRegularizer
from cuvis_ai.training.metrics import ExplainedVarianceMetric, ScoreStatisticsMetric
from tests.cubes import random_cubes


@pytest.mark.parametrize("whiten", [False, True])
def test_explained_variance_of_scaled_components_is_by_the_definition(whiten: bool) -> None:
    """Per component ŵ Σ ŵᵀ / tr Σ with ŵ of unit length, whatever the length of w and the whitening."""
    cubes = random_cubes(6)
    pca, fitted, entering = TrainablePCA(3, whiten=whiten, eps=0.0), Moments(), ChannelMoments()
    fitted.update(pixels_of(cubes))
    pca.finalize(fitted)
    lengths = torch.tensor([0.5, 1.0, 3.0])
    pca.set_state(components=lengths[:, None] * pca.components)
    scores = Moments()
    scores.update(pixels_of(pca(cubes)))
    entering.update(pixels_of(cubes))
    found = explained_by(projection_of(pca, ExplainedVarianceMetric()), entering, scores)
    pixels = pixels_of(cubes).double()
    covariance = pixels.T.cov(correction=0)
    unit = torch.nn.functional.normalize(pca.components.double(), dim=1)
    expected = (unit @ covariance @ unit.T).diagonal() / covariance.trace()
    torch.testing.assert_close(found.per_component, expected, rtol=1e-5, atol=1e-7)


def test_a_parent_without_components_is_refused_by_name() -> None:
    with pytest.raises(
        GraphError, match="ExplainedVarianceMetric: expected a parent with components.*RXGlobal"
    ):
        projection_of(RXGlobal(), ExplainedVarianceMetric())


def test_only_a_choice_of_bands_will_do() -> None:
    node = SoftChannelSelector(2)
    assert selection_of(node, SelectorEntropyRegularizer()) is node
    with pytest.raises(GraphError, match="expected a parent that chooses channels"):
        selection_of(TrainablePCA(2), SelectorEntropyRegularizer())


@pytest.mark.parametrize(
    ("leaf", "parent", "channels", "message"),
    [
        (OrthogonalityLoss(), RXGlobal(), 1, "OrthogonalityLoss: expected a parent with components"),
        (SelectorEntropyRegularizer(), TrainablePCA(2), 2, "Regularizer: expected a parent that chooses"),
        (ScoreStatisticsMetric(), TrainablePCA(2), 2, "Metric: expected a parent with one output channel"),
    ],
)
def test_a_declared_need_is_checked_where_the_leaf_is_attached(
    leaf: Leaf, parent: Node, channels: int, message: str
) -> None:
    with pytest.raises(GraphError, match=message):
        leaf.check_parent(parent, channels)
