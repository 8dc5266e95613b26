"""A graph's structure as text."""

from torch import nn

from cuvis_ai.execution.topology import Topology
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.structure import mermaid, tree
from cuvis_ai.training.losses import OrthogonalityLoss


def forked() -> tuple[Topology, dict[str, Node], nn.ModuleDict]:
    """Return a normalizer, a PCA that carries a loss, and a second PCA that reads both."""
    topology = Topology()
    topology.add_node("normalizer", [], ())
    topology.add_node("pca", ["normalizer"], ())
    topology.add_node("second", ["normalizer", "pca"], ())
    topology.add_leaf("orthogonality", "pca")
    nodes: dict[str, Node] = {
        "normalizer": MinMaxNormalizer(use_running_stats=False),
        "pca": TrainablePCA(3),
        "second": TrainablePCA(2),
    }
    return topology, nodes, nn.ModuleDict({"orthogonality": OrthogonalityLoss()})


def test_tree_indents_by_depth_and_shows_state_parents_and_leaves() -> None:
    topology, nodes, leaves = forked()
    first, pca, leaf, second = tree(topology, nodes, leaves)
    assert first.startswith("  normalizer: MinMaxNormalizer(")
    assert "use_running_stats=False" in first
    assert pca.startswith("    pca: TrainablePCA(n_components=3")
    assert pca.endswith("[not fitted]")
    assert leaf == "      · orthogonality: OrthogonalityLoss"
    assert second.startswith("      second: TrainablePCA(n_components=2")
    assert second.endswith(" <- normalizer, pca [not fitted]")


def test_mermaid_has_an_arrow_for_each_parent_and_a_dotted_line_for_each_leaf() -> None:
    topology, nodes, _ = forked()
    lines = mermaid(topology, nodes).splitlines()
    assert lines[0] == "flowchart LR"
    for line in (
        "  _cube --> normalizer",
        "  normalizer --> pca",
        "  normalizer --> second",
        "  pca --> second",
        "  pca -.- orthogonality",
    ):
        assert line in lines
    assert sum("-->" in line for line in lines) == 4
