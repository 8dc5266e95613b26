from pathlib import Path

from cuvis_ai.training.threshold import Threshold
from tests.graphs import scoring
from tests.pipeline.export.models import (
    operators,
    trained,
)


def test_a_chain_is_one_product_its_function_and_the_threshold(tmp_path: Path) -> None:
    graph = scoring()
    graph.add_leaf_node(Threshold("value", 1.0), parent="head")
    trained(graph).export_onnx(tmp_path / "model.onnx", layout="nhwc")
    found = operators(tmp_path / "model.onnx")
    assert found.count("MatMul") == 1
    assert found == [
        *("Sub", "MatMul", "Add"),  # normalizer, PCA and whitening, composed
        *("Transpose", "Mul", "ReduceSum"),  # the squared length
        *("Sub", "Mul", "Add", "Transpose"),  # the head
        *("IsInf", "Where", "Greater"),  # NaN where a band is infinite; the mask
    ]
    assert (tmp_path / "model.onnx").stat().st_size < 4000
