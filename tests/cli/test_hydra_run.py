"""Runs of Hydra configurations: how they end."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from cuvis_ai.cli.hydra_run import run_or_exit


def test_an_error_that_the_user_can_put_right_ends_the_program_with_its_message(
    settings: dict[str, Any],
) -> None:
    with pytest.raises(SystemExit) as left:
        run_or_exit(OmegaConf.create({**settings, "trainig": {}}))
    assert left.value.code == "cuvis-ai: `trainig`: unknown key. Did you mean `training`?"
