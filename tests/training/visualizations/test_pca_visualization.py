"""The scatter plot shows the scores of each class and the shares of the variance."""

import numpy as np
import pytest
import torch

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf.bases import Attached
from cuvis_ai.leaf.observer import Observer
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.engine.epoch import Metrics
from cuvis_ai.training.metrics import ExplainedVarianceMetric
from cuvis_ai.training.visualizations import PCAVisualization
from tests.recorded_run import batches, drawn, execution_of


def test_shares_of_the_variance_are_the_metrics(graph):
    seen, execution = batches(), execution_of(graph)
    observer = Observer(execution)
    metrics = Metrics(
        execution, [Attached(ExplainedVarianceMetric(), graph.nodes["trainable_pca"])], observer
    )
    for batch in seen:
        observer.update(execution.evaluate(batch["cube"], observer.points()), batch)
    observer.finish()
    values = metrics.compute("val", fit=False)
    expected = [values[f"val/metric/explained_variance_pc{i}"] for i in (1, 2, 3)]
    np.testing.assert_allclose(drawn(graph, seen)["scatter"]["shares"], expected, rtol=1e-6)


def test_scatter_holds_each_class_s_scores(graph):
    seen = batches()
    scores = graph.run(torch.cat([batch["cube"] for batch in seen]), ["trainable_pca"])["trainable_pca"]
    truth = torch.cat([batch["mask"] for batch in seen]).flatten()
    got = drawn(graph, seen)["scatter"]
    np.testing.assert_allclose(got["normal"], pixels_of(scores)[~truth], atol=1e-5)
    np.testing.assert_allclose(got["anomalous"], pixels_of(scores)[truth], atol=1e-5)


def test_more_dimensions_than_components_are_refused():
    graph = Graph()
    pca = graph.add_node(TrainablePCA(2))
    with pytest.raises(GraphError, match="at least n_dims=3 components, got 2"):
        graph.add_leaf_node(PCAVisualization(n_dims=3), parent=pca)
