"""A run that is killed and started again ends as one that was left alone; signals and moments come from a seed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_one_left_alone(repository: Path) -> None:
    """`python -m fuzz.kills` does so 20 times. As a process of its own, since it forks."""
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.kills", "--kills", "6", "--seed", "1"],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "6 kills (SIGKILL 2, SIGTERM 2, SIGINT 2)" in done.stdout
    found = re.search(r"(\d+) starts went on from a checkpoint", done.stdout)
    assert found is not None
    assert int(found[1]) > 0
