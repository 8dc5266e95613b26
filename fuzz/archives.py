"""Loading an untrusted graph ends in a graph or in an `ArchiveError`, soon and in little memory.

Run with `python -m fuzz.archives`. Makes mutated archives, decided by the seed, and loads them in child
processes. Reported are the outcomes, the slowest load and the greatest growth of memory; what breaks the
promise (another exception, a warning, more than 2 s or 200 MB, a failed allocation, a foreign module
imported, a loaded graph that cannot be looked at and run) is written to a folder, and the program ends
with 1.

Memory is the growth of the process's greatest resident size during one load, from Linux' /proc. The
first load in a process, which imports what the nodes need, is done before. A load that takes too long is
repeated once, since other work on the machine only ever adds.
"""

import argparse
import logging
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch

from cuvis_ai.errors import ArchiveError, GraphError, NotFittedError
from cuvis_ai.pipeline.graph import Graph
from fuzz.mutations import each_mutated
from fuzz.sealing import Contents

SECONDS, MEGABYTES = 2.0, 200.0
HANGS = 20
"""Seconds after which a load is broken off."""
CHUNK = 500
LONGEST_MESSAGE = 2000
BANDS = 7
"""Channels that the first nodes of the seeds take."""
FOREIGN = {"this", "antigravity"}
"""Modules that mutated archives name and nobody else imports."""


class Hangs(BaseException):
    """A load was broken off; no `Exception`, so that no handler in the loader takes it."""


class Load(NamedTuple):
    """What came of one archive."""

    kind: str
    outcome: str
    seconds: float
    megabytes: float
    problem: str | None


def _status(key: str) -> float:
    """Return a size from /proc/self/status in MB."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{key}:")[2].split()[0]) / 1024


def _broken_off(signum: int, frame: FrameType | None) -> None:
    raise Hangs


def _loaded(kind: str, path: Path, limit: float) -> Load:
    """Load an archive, and measure it."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the greatest resident size
    before, start, graph, problem = _status("VmRSS"), time.perf_counter(), None, None
    signal.alarm(HANGS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            graph, outcome = Graph.load_from_file(path), "loaded"
    except ArchiveError as err:
        outcome, problem = "ArchiveError", _improper(err)
    except Hangs:
        outcome, problem = "hangs", traceback.format_exc()[-1500:]
    except Exception as err:  # whatever it is, it is what this program looks for
        outcome, problem = type(err).__name__, traceback.format_exc()[-1500:]
    finally:
        signal.alarm(0)
    seconds, megabytes = time.perf_counter() - start, _status("VmHWM") - before
    if graph is not None:
        problem = _unusable(graph)
    if foreign := FOREIGN & set(sys.modules):
        problem = f"imported {foreign}"
    if seconds > limit or megabytes > MEGABYTES:
        problem = problem or f"{seconds:.1f} s, {megabytes:.0f} MB"
    return Load(kind, outcome, seconds, megabytes, problem)


def _improper(err: ArchiveError) -> str | None:
    """Return what is wrong with a refusal: too long, unprintable, or out of a failed allocation."""
    message, causes = str(err), "".join(traceback.format_exception(err))
    if len(message) > LONGEST_MESSAGE or not message.replace("\n", " ").isprintable():
        return f"a long or unprintable message: {message[:LONGEST_MESSAGE]!r}"
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


def _chunk(count: int, seed: int, archives: list[bytes], folder: Path, limit: float) -> list[Load]:
    """Load mutated archives, in a process of its own."""
    path, loads = folder / f"current-{os.getpid()}.zip", list[Load]()

    def take(kind: str, archive: bytes) -> None:
        path.write_bytes(archive)
        load = _loaded(kind, path, limit)
        if load.seconds > limit:  # again, since other work on the machine only ever adds
            load = _loaded(kind, path, limit)
        loads.append(load)
        if load.problem:
            (folder / f"case-{seed}-{len(loads)}.zip").write_bytes(archive)

    each_mutated(seed, count, [Contents.of(archive) for archive in archives], take)
    path.unlink()  # one that is left tells what a child died of
    return loads


def _start(archives: list[bytes], folder: Path) -> None:
    """Prepare a child process: the imports that a first load brings, and limits."""
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, _broken_off)
    path = folder / f"current-{os.getpid()}.zip"
    for archive in archives:
        path.write_bytes(archive)
        Graph.load_from_file(path)
    # So that a bomb fails here, which is a finding, instead of taking the machine along.
    most = int(_status("VmSize") * 2**20) + 4 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def fuzzed(
    count: int, seed: int, workers: int, archives: list[bytes], folder: Path, limit: float = SECONDS
) -> list[Load]:
    """Load `count` mutated archives, each within `limit` seconds; offending ones are left in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [min(CHUNK, count - begun) for begun in range(0, count, CHUNK)]
    # Children start bare: they must not hold what the parent imported to make the seeds.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (archives, folder)) as pool:
        chunks = [pool.submit(_chunk, size, 1000 * seed + i, archives, folder, limit)
                  for i, size in enumerate(sizes)]  # fmt: skip
        try:
            return [load for chunk in chunks for load in chunk.result()]
        finally:
            pool.shutdown(cancel_futures=True)  # after an error here the rest need not run


def main() -> int:
    """Fuzz, report, and return 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=50_000, help="mutated archives")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other archives")
    parser.add_argument("--workers", type=int, default=2, help="child processes")
    parser.add_argument("--folder", type=Path, default=Path("outputs/fuzz"), help="for offending archives")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    from fuzz.seeds import seeds  # imports Lightning, which the children, who import this file, must not

    loads = fuzzed(args.count, args.seed, args.workers, seeds(), args.folder)
    findings = [f"{load.kind}: {load.problem}" for load in loads if load.problem]
    print("\n".join(findings).encode("utf-8", "backslashreplace").decode())
    counts = Counter((kind, load.outcome) for load in loads for kind in ("all", load.kind))
    for (kind, outcome), n in sorted(counts.items()):
        print(f"{n:8}  {kind}: {outcome}")
    seconds, megabytes = max(load.seconds for load in loads), max(load.megabytes for load in loads)
    print(f"{len(loads)} archives, seed {args.seed}: {len(findings)} findings")
    print(f"at most {seconds:.2f} s and {megabytes:.0f} MB")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
