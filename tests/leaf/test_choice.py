"""Leaves that look at a choice of bands."""

import pytest

from cuvis_ai.errors import GraphError
from cuvis_ai.leaf.choice import selection_of
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.training.losses import SelectorEntropyRegularizer


def test_only_a_choice_of_bands_will_do() -> None:
    node = SoftChannelSelector(2)
    assert selection_of(node, SelectorEntropyRegularizer()) is node
    with pytest.raises(GraphError, match="expected a parent that chooses channels"):
        selection_of(TrainablePCA(2), SelectorEntropyRegularizer())
