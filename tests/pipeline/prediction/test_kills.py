"""`kill -9` at any moment, and the same command again: the maps are those of an undisturbed run, byte for byte.

A process kills itself at its n-th call of `os.fsync`, the moments at which something is promised to be on disk.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from cuvis_ai.pipeline.graph import Graph
from tests.data.files import write_envi
from tests.pipeline.prediction.conftest import FIELDS, values

PROGRAM = """
import os, signal, sys
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction import strip_scorer

strip_scorer.STRIP_BYTES = 4 * 24 * 4 * 12
graph, scenes, out, *moments = sys.argv[1:]
sync, counted = os.fsync, 0


def dying(handle):
    global counted
    sync(handle)
    counted += 1
    if counted == moment:
        os.kill(os.getpid(), signal.SIGKILL)


os.fsync = dying
for moment in map(int, moments):
    pid = os.fork()
    if pid == 0:
        Graph.load_from_file(graph).predict(scenes, out, resume=True, threshold=4.0, mask=True, detections=True)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="a process that is copied after its imports starts at once"
)
def test_kills_at_random_moments_and_a_restart_end_byte_equal(
    graph: Graph, scene: Path, tmp_path: Path
) -> None:
    write_envi(scene.with_name("b.hdr"), values(1), **FIELDS)
    graph.save_to_file(tmp_path / "graph.zip")

    def run(out: str, moments: list[int]) -> list[str]:
        command = [
            sys.executable,
            "-c",
            PROGRAM,
            str(tmp_path / "graph.zip"),
            str(scene.parent),
            str(tmp_path / out),
        ]
        done = subprocess.run([*command, *map(str, moments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert run("undisturbed", [-1]) == ["0"]
    generator = random.Random(0)
    ended = run("maps", [*(generator.randint(1, 4) for _ in range(10)), -1])
    # Each goes on from the one before, so that the last ones may have nothing left to be killed at.
    assert ended[:5] == ["9"] * 5
    assert ended[-1] == "0"
    assert contents(tmp_path / "maps") == contents(tmp_path / "undisturbed")


@pytest.mark.parametrize("left", [(".a.journal", ".a.part", ".a.lock"), (".a.part", ".a.lock"), (".a.lock",)])
def test_what_a_process_left_that_was_killed_after_the_facts_is_removed(
    graph: Graph, scene: Path, tmp_path: Path, left: tuple[str, ...]
) -> None:
    graph.predict(scene, tmp_path / "maps")
    undisturbed = contents(tmp_path / "maps")
    for name in left:
        (tmp_path / "maps" / name).write_text("")
    assert graph.predict(scene, tmp_path / "maps", resume=True) == []
    assert contents(tmp_path / "maps") == undisturbed
