import json
from pathlib import Path

import torch

from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.training.threshold import Threshold
from tests.graphs import scoring
from tests.pipeline.export.models import (
    onnx,
    trained,
)


def test_the_model_says_what_it_is(tmp_path: Path) -> None:
    graph = scoring()
    graph.add_leaf_node(Threshold("value", 2.5), parent="head")
    trained(graph)
    graph.name, graph.bands = "mine", TrainedBands.of(range(400, 470, 10), range(1, 8))
    graph.export_onnx(tmp_path / "model.onnx", layout="nhwc", no_data=0, input="uint16")
    said = {one.key: one.value for one in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert (said.pop("graph"), said.pop("layout")) == ("mine", "nhwc")
    assert len(said.pop("sha256")) == 64
    told = {key: json.loads(value) for key, value in said.items()}
    assert told["wavelengths"] == [400, 410, 420, 430, 440, 450, 460]
    assert told["units"] == {"wavelengths": "nm"}
    assert told["band_indices"] == [1, 2, 3, 4, 5, 6, 7]
    assert told["no_data"] == 0
    assert told["outputs"]["head"]["threshold"] == 2.5
    assert [node["name"] for node in told["nodes"]] == ["norm", "pca", "rx", "head"]
    assert told["nodes"][1]["parents"] == ["norm"]
    assert told["nodes"][1]["class"] == "cuvis_ai.node.pca:TrainablePCA"
    assert told["nodes"][1]["arguments"]["n_components"] == 3
    assert told["versions"]["torch"] == torch.__version__
