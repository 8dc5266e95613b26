"""`import cuvis_ai.pipeline.graph` costs little more than `import torch`."""

import subprocess
import sys
from collections.abc import Callable

from harness import Comparison, main


def importing(module: str) -> Callable[[], Callable[[], object]]:
    """Return what imports a module in a fresh process."""
    return lambda: lambda: subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


ALTERNATIVES = {
    "import cuvis_ai.pipeline.graph": importing("cuvis_ai.pipeline.graph"),
    "import torch": importing("torch"),
}

COMPARISONS = [
    Comparison(claim="import", ours="import cuvis_ai.pipeline.graph", peer="import torch", at_most=1.15)
]

if __name__ == "__main__":
    main(ALTERNATIVES, COMPARISONS)
