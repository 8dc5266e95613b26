"""Prediction by a saved graph, apart from the command, since torch takes seconds to import."""

import logging
from pathlib import Path
from typing import Any

from cuvis_ai.pipeline.graph import Graph


def predict(path: Path, chosen: dict[str, Any]) -> None:
    """Write the maps of scenes.

    Args:
        path: the zip.
        chosen: the command's other arguments.
    """
    logging.getLogger("cuvis_ai.training").setLevel(logging.WARNING)  # of the fits to each scene
    graph = Graph.load_from_file(path, allow=chosen.pop("allow")).to(chosen.pop("device"))
    graph.predict(chosen.pop("scenes"), chosen.pop("out"), **chosen)
