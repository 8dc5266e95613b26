"""What leaves need of a parent with components."""

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf.components import explained_by, projection_of
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.stats import ChannelMoments, Moments
from cuvis_ai.training.metrics import ExplainedVarianceMetric
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
