"""The archives that the fuzzer starts from: together they hold every node and leaf.

Imports Lightning, so only the process that starts the others does.
"""

import tempfile
from pathlib import Path

from tests.fixtures.format_1.graphs import GRAPHS, data_module, training


def seeds() -> list[bytes]:
    """Return one archive of each graph, fitted, and one that is not fitted."""
    graphs = [make() for make in GRAPHS.values()]
    for graph in graphs:
        graph.train(data_module(), training(epochs=0, folder=None))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.zip" for i in range(len(graphs) + 1)]
        for graph, path in zip([*graphs, GRAPHS["detector"]()], paths, strict=True):
            graph.save_to_file(path)
        return [path.read_bytes() for path in paths]
