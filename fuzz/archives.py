"""Loading an untrusted graph ends in a graph or in an `ArchiveError`, soon and in little memory.

Run with `python -m fuzz.archives`. Makes mutated archives, decided by the seed, and loads them in child
processes. Reported are the outcomes, the most CPU time and the greatest growth of memory; what breaks the
promise (another exception, a warning, more than 2 CPU seconds or 200 MB, a failed allocation, a foreign
module imported, a loaded graph that cannot be looked at and run, a dead process) is written to a folder, and
the program ends with 1.
"""

import os
import sys
import traceback
import warnings
from functools import partial
from pathlib import Path

import torch

from cuvis_ai.errors import ArchiveError, GraphError, NotFittedError
from cuvis_ai.pipeline.graph import Graph
from fuzz.measuring import CHUNK, Outcome, Promise, command, in_children, outcome_of, prepare_child
from fuzz.mutations import each_mutated
from fuzz.sealing import Contents

BANDS = 7
"""Channels that the first nodes of the seeds take."""
FOREIGN = {"this", "antigravity"}
"""Modules that mutated archives name and nothing else imports."""


def _loaded(path: Path) -> Graph:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return Graph.load_from_file(path)


def _improper(err: Exception) -> str | None:
    """Return what is wrong with a refusal: it comes of a failed allocation."""
    causes = "".join(traceback.format_exception(err))
    if any(sign in causes for sign in ("can't allocate", "MemoryError", "not enough memory")):
        return f"an allocation that failed: {causes[-1500:]}"
    return None


def _unusable(graph: Graph) -> str | None:
    """Return why a loaded graph cannot be looked at or run; refusals that say so are fine."""
    try:
        repr(graph).encode()
        graph.mermaid().encode()
        if len(graph.nodes) <= 6:
            graph.run(torch.rand(1, BANDS, 2, 2, dtype=graph.dtype), graph.topology.ends())
    except (GraphError, NotFittedError):
        return None
    except Exception:  # whatever it is, it is what this program looks for
        return f"loaded, but: {traceback.format_exc()[-1500:]}"
    return None


_PROMISE = Promise((ArchiveError,), _improper, megabytes=200.0)


def _chunk(count: int, seed: int, archives: list[bytes], folder: Path) -> list[Outcome]:
    """Load mutated archives, in a process of its own."""
    # One that is left tells what a child died of.
    path, outcomes = folder / f"current-{seed}.zip", list[Outcome]()

    def take(kind: str, archive: bytes) -> None:
        path.write_bytes(archive)
        outcome = outcome_of(kind, partial(_loaded, path), _unusable, _PROMISE)
        if foreign := FOREIGN & set(sys.modules):
            outcome = outcome._replace(problem=f"imported {foreign}")
        outcomes.append(outcome)
        if outcome.problem:
            (folder / f"case-{seed}-{len(outcomes)}.zip").write_bytes(archive)

    each_mutated(seed, count, [Contents.of(archive) for archive in archives], take)
    path.unlink()
    return outcomes


def _start(archives: list[bytes], folder: Path) -> None:
    torch.set_num_threads(1)
    prepare_child(partial(_load_sound, archives, folder / f"sound-{os.getpid()}.zip"))


def _load_sound(archives: list[bytes], path: Path) -> None:
    for archive in archives:
        path.write_bytes(archive)
        Graph.load_from_file(path)
    path.unlink()


def fuzzed(count: int, seed: int, workers: int, archives: list[bytes], folder: Path) -> list[Outcome]:
    """Load `count` mutated archives; offending ones are left in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    calls = [
        (min(CHUNK, count - begun), 1000 * seed + begun // CHUNK, archives, folder)
        for begun in range(0, count, CHUNK)
    ]
    return in_children(_chunk, calls, _start, (archives, folder), workers)


def fuzzed_seeds(count: int, seed: int, workers: int, folder: Path) -> list[Outcome]:
    """Load `count` mutations of the graphs that the fuzzers start from."""
    from fuzz.seeds import seeds  # imports Lightning, which the children, who import this file, must not

    return fuzzed(count, seed, workers, seeds(), folder)


if __name__ == "__main__":
    sys.exit(command(__doc__, "archives", 50_000, fuzzed_seeds))
