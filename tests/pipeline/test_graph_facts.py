"""What a graph says of itself, in words and as a table in a notebook."""

from cuvis_ai.pipeline.graph import Graph
from tests.recorded_run import fitted_graph


def test_a_notebook_shows_nodes_with_arguments_bands_and_fit() -> None:
    html = fitted_graph()._repr_html_()
    assert "<b>Graph small &lt;graph&gt;</b><pre>" in html
    assert "small <graph>" not in html
    assert "TrainablePCA(n_components=3" in html
    assert ">wavelengths unknown</td>" in html
    assert ">fit of trainable_pca</th>" in html
    assert len(html) < 10_000


def test_an_empty_and_an_unfitted_graph_are_shown_too() -> None:
    assert "<table></table>" in Graph("empty")._repr_html_()
    assert "threshold of" not in Graph("empty")._repr_html_()
