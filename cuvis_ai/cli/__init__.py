"""The command `cuvis-ai`; each file here that defines `run` is one of its commands."""

from cuvis_ai.cli.command_line import main
from cuvis_ai.cli.hydra_run import run_hydra

__all__ = ["main", "run_hydra"]
