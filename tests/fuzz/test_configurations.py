"""The fuzzer of configurations, in its short form."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.configurations import mutated


@pytest.mark.slow
def test_mutated_configurations_run_no_code(tmp_path: Path) -> None:
    """In a process of its own, since an audit hook stays."""
    command = [sys.executable, "-m", "fuzz.configurations", "--count", "150", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "150 configurations, seed 0: 0 findings" in done.stdout
    assert "built" in done.stdout
    assert "ConfigError" in done.stdout
    assert not any(tmp_path.iterdir())


def test_same_seed_gives_the_same_mutations() -> None:
    seed = {"nodes": {"pca": {"_target_": "x.Y"}}, "training": {"seed": 1}}
    first, again, other = (
        [mutated(random.Random(number), seed) for number in numbers] for numbers in ((1, 2), (1, 2), (3, 4))
    )
    assert first == again
    assert first != other


def test_the_hook_sees_imports_programs_and_files(tmp_path: Path) -> None:
    code = (
        "from fuzz.configurations import Watch\n"
        "watch = Watch(); watch.on = True\n"
        "import os, this\n"
        "os.system('true')\n"
        f"open({str(tmp_path / 'file')!r}, 'w').close()\n"
        "watch.on = False\n"
        "print(*watch.seen, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for seen in ("import this", "os.system", "for writing"):
        assert seen in done.stdout
