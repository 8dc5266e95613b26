"""The command `cuvis-ai train`."""

import sys
from collections.abc import Sequence

from cuvis_ai.cli.hydra_run import run_hydra


def run(arguments: Sequence[str]) -> None:
    """Train what a configuration describes, such as --config-name demo; train --help lists them.

    Example:
        cuvis-ai train --config-name demo training.trainer.max_epochs=20
    """
    sys.argv = ["cuvis-ai train", *arguments]  # Hydra reads them, --help too
    run_hydra("phase3_config")
