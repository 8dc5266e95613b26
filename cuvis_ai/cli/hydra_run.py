"""Runs of Hydra configurations, which `cuvis-ai train` and the scripts in `examples_torch` share."""

import sys
from typing import TYPE_CHECKING

from cuvis_ai.cli.command_line import REPORTED, loaded

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run_hydra(config_name: str) -> None:
    """Run a configuration of `cuvis_ai/conf`, or another that the command line names, with its overrides."""
    import hydra

    hydra.main(version_base="1.3", config_path="pkg://cuvis_ai.conf", config_name=config_name)(run_or_exit)()


def run_or_exit(config: "DictConfig") -> None:
    """Call `run_config`; end the program with the message alone where the user can put it right."""
    try:
        loaded("configured_run").run_config(config)
    except REPORTED as err:
        sys.exit(f"cuvis-ai: {err}")
