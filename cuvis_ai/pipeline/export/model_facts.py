"""What an exported model says about itself, as texts in its `metadata_props`."""

import json
import platform
from collections.abc import Mapping
from typing import Any

import torch

from cuvis_ai import __version__
from cuvis_ai.errors import import_extra
from cuvis_ai.node.base import class_of, hyperparameters
from cuvis_ai.pipeline.export.model_input import ModelInput
from cuvis_ai.pipeline.graph_members import Members
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.types import CUBE

FORMAT = 1


def facts(
    members: Members, name: str, bands: TrainedBands, taken: ModelInput, outputs: Mapping[str, Any]
) -> dict[str, str]:
    """Return the metadata of a model: JSON, except for names.

    Args:
        members: the graph's.
        name: the graph's.
        bands: those of training.
        taken: what enters.
        outputs: what is to be known of each output.
    """
    onnx = import_extra("onnx", "export", "exporting a graph")
    versions = {
        "cuvis_ai": __version__,
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "python": platform.python_version(),
    }
    nodes = [
        {
            "name": key,
            "class": f"{class_of(node).__module__}:{class_of(node).__qualname__}",
            "arguments": hyperparameters(node),
            "parents": list(members.topology.parents[key] or CUBE),
        }
        for key, node in members.in_order().items()
    ]
    described = {
        "format": FORMAT,
        "versions": versions,
        "nodes": nodes,
        "wavelengths": bands.wavelengths,
        "units": {"wavelengths": "nm"},
        "band_indices": bands.indices,
        "scale": None if bands.scale is None else bands.scale.plain(),
        "no_data": taken.no_data,
        "outputs": outputs,
    }
    # What a module of the user's is made with need not be plain.
    return {
        "graph": str(name),
        "layout": taken.layout,
        **{key: json.dumps(value, default=repr) for key, value in described.items()},
    }
