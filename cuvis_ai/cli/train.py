"""The command `cuvis-ai train`."""

import sys
from collections.abc import Sequence

from cuvis_ai.cli.configurations import described, groups
from cuvis_ai.cli.hydra_run import run_hydra


def run(arguments: Sequence[str]) -> None:
    """Train what a configuration describes, such as --config-name demo; train --list names them.

    Example:
        cuvis-ai train --config-name demo training.trainer.max_epochs=20
    """
    if "--list" in arguments:
        print("\n".join(described()))
        for group, options in groups().items():
            print(f"{group}={'|'.join(options)}")
        return
    sys.argv = ["cuvis-ai train", *arguments]  # Hydra reads them, --help too
    run_hydra("phase3_config")
