"""Loading a saved graph from a stranger ends in a graph or in an `ArchiveError`, soon and in little memory.

Run with `python -m fuzz.archives`. Makes mutated archives, each from the seed and its number alone, and
loads them in child processes. Reported are the outcomes, the slowest load and the greatest growth of
memory; what breaks the promise (another exception, a warning, more than 2 s or 200 MB, a failed
allocation, a foreign module imported, a loaded graph that cannot be looked at and run) is written to a
folder, and the program ends with 1.

Memory is the growth of the process's greatest resident size during one load, from Linux' /proc. The
first load in a process, which imports what the nodes need, is done before. A load that takes too long is
repeated once, since other work on the machine only ever adds.
"""

import argparse
import logging
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import torch

from cuvis_ai.errors import ArchiveError, GraphError, NotFittedError
from cuvis_ai.node.base import AffineNode, structure_of
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.stats import Structure
from fuzz.mutations import mutated
from fuzz.sealing import Contents

SECONDS, MEGABYTES = 2.0, 200.0
HANGS = 20
"""Seconds after which a load is broken off."""
CHUNK = 250
LONGEST_MESSAGE = 2000
FOREIGN = {"this", "antigravity"}
"""Modules that mutated archives name and nobody else imports."""


class Hangs(BaseException):
    """A load was broken off; no `Exception`, so that no handler in the loader takes it."""


@dataclass
class Tally:
    """What a number of loads came to."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: tuple[float, int] = (0.0, -1)
    largest: tuple[float, int] = (0.0, -1)
    findings: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Take in what others found."""
        self.outcomes += other.outcomes
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)
        self.findings += other.findings


def _status(key: str) -> float:
    """Return a size from /proc/self/status in MB."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{key}:")[2].split()[0]) / 1024


def _peak_from_here() -> float:
    """Forget the greatest resident size so far; return the present one in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _broken_off(signum: int, frame: FrameType | None) -> None:
    raise Hangs


def _load(path: Path) -> tuple[str, str | None, Graph | None]:
    """Load an archive; return the outcome's name, what is wrong with it if something is, and the graph."""
    try:
        signal.alarm(HANGS)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            graph = Graph.load_from_file(path)
        signal.alarm(0)
    except ArchiveError as err:
        signal.alarm(0)
        return "ArchiveError", _improper(err), None
    except Hangs:
        return "hangs", f"no end after {HANGS} s: {_end_of_traceback()}", None
    except Exception as err:  # whatever it is, it is what this program looks for
        signal.alarm(0)
        return type(err).__name__, _end_of_traceback(), None
    return "loaded", None, graph


def _end_of_traceback() -> str:
    return traceback.format_exc()[-1500:]


def _improper(err: ArchiveError) -> str | None:
    """Return what is wrong with a refusal: too long, unprintable, or out of a failed allocation."""
    message, causes = str(err), "".join(traceback.format_exception(err))
    if len(message) > LONGEST_MESSAGE:
        return f"a message of {len(message)} characters: {message[:300]!r}"
    if not message.replace("\n", " ").isprintable():
        return f"an unprintable message: {message!r}"
    if any(sign in causes for sign in ("can't allocate", "MemoryError", "not enough memory")):
        return f"an allocation that failed: {causes[-1500:]}"
    return None


def _unusable(graph: Graph) -> str | None:
    """Return why a loaded graph cannot be looked at or run; refusals that say so are fine."""
    try:
        repr(graph).encode()
        graph.mermaid().encode()
        channels = channels_entering(graph)
        if channels is not None and channels <= 500 and len(graph.nodes) <= 6:
            graph.run(torch.rand(1, channels, 2, 2, dtype=graph.dtype), graph.topology.ends())
    except (GraphError, NotFittedError):
        return None
    except Exception:  # whatever it is, it is what this program looks for
        return f"loaded, but: {_end_of_traceback()}"
    return None


def channels_entering(graph: Graph) -> int | None:
    """Return the channels that a graph's first node takes; None where it does not say."""
    for name, parents in graph.topology.parents.items():
        node = graph._node(name)
        if not parents and structure_of(node) is not Structure.OPAQUE and node.fitted:
            assert isinstance(node, AffineNode)
            return node.affine().in_channels
    return None


_seeds: list[Contents] = []
_folder = Path()


def _start(archives: list[bytes], folder: Path) -> None:
    """Prepare a child process: limits, and the imports that a first load brings."""
    global _folder
    _folder = folder
    _seeds[:] = [Contents.of(archive) for archive in archives]
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, _broken_off)
    path = folder / f"current-{os.getpid()}.zip"
    for archive in archives:
        path.write_bytes(archive)
        Graph.load_from_file(path)
    # So that a bomb fails here, which is a finding, instead of taking the machine along.
    room = int(_status("VmSize") * 2**20) + 4 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (room, room))


def case(number: int, seed: int, seeds: list[Contents]) -> tuple[str, bytes]:
    """Return the kind and bytes of one mutated archive."""
    return mutated(random.Random(f"{seed}-{number}"), seeds)


def _measured(path: Path) -> tuple[str, str | None, Graph | None, float, float]:
    """Load an archive; return what came of it, the seconds and the growth of memory in MB."""
    before = _peak_from_here()
    start = time.perf_counter()
    outcome, problem, graph = _load(path)
    return outcome, problem, graph, time.perf_counter() - start, _status("VmHWM") - before


def _chunk(numbers: range, seed: int, limit: float) -> Tally:
    """Load the archives of these numbers."""
    tally = Tally()
    path = _folder / f"current-{os.getpid()}.zip"
    for number in numbers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile's, on the doubled names that are wanted here
            kind, archive = case(number, seed, _seeds)
        path.write_bytes(archive)
        outcome, problem, graph, seconds, megabytes = _measured(path)
        if seconds > limit and outcome != "hangs":  # again, since other work on the machine only ever adds
            outcome, problem, graph, seconds, megabytes = _measured(path)
        if seconds > limit:
            problem = problem or f"{seconds:.1f} s"
        if megabytes > MEGABYTES:
            problem = problem or f"{megabytes:.0f} MB"
        if foreign := FOREIGN & set(sys.modules):
            problem = f"imported {foreign}"
        if graph is not None:
            problem = problem or _unusable(graph)
        tally.outcomes[kind, outcome] += 1
        tally.slowest = max(tally.slowest, (seconds, number))
        tally.largest = max(tally.largest, (megabytes, number))
        if problem:
            problem = problem.encode("utf-8", "backslashreplace").decode()
            (_folder / f"case-{seed}-{number}.zip").write_bytes(archive)
            tally.findings.append(f"case {seed}-{number}, {kind}, {len(archive)} bytes: {problem}")
    return tally


def fuzzed(
    count: int, seed: int, workers: int, archives: list[bytes], folder: Path, limit: float = SECONDS
) -> Tally:
    """Load `count` mutated archives, each within `limit` seconds; offending ones are left in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    total = Tally()
    # Children start bare: they must not hold what the parent imported to make the seeds.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (archives, folder)) as pool:
        chunks = [range(i, min(i + CHUNK, count)) for i in range(0, count, CHUNK)]
        try:
            for done in as_completed([pool.submit(_chunk, numbers, seed, limit) for numbers in chunks]):
                total.add(done.result())
        finally:
            pool.shutdown(cancel_futures=True)  # after an error here the rest need not run
    for path in folder.glob("current-*.zip"):  # one that is left tells what a child died of
        path.unlink()
    return total


def report(tally: Tally) -> str:
    """Return the outcomes as a table, and the extremes."""
    ends = sorted({outcome for _, outcome in tally.outcomes})
    kinds = sorted({kind for kind, _ in tally.outcomes})
    rows = [("", *ends), *((kind, *(str(tally.outcomes[kind, end]) for end in ends)) for kind in kinds)]
    rows.append(("all", *(str(sum(tally.outcomes[kind, end] for kind in kinds)) for end in ends)))
    lines = ["".join(f"{cell:>{28 if i == 0 else 16}}" for i, cell in enumerate(row)) for row in rows]
    lines.append(f"slowest {tally.slowest[0]:.2f} s (case {tally.slowest[1]})")
    lines.append(f"greatest growth {tally.largest[0]:.0f} MB (case {tally.largest[1]})")
    return "\n".join(lines)


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

    start = time.perf_counter()
    tally = fuzzed(args.count, args.seed, args.workers, seeds(), args.folder)
    print("\n".join(tally.findings))
    print(report(tally))
    print(f"{args.count} archives, seed {args.seed}: {len(tally.findings)} findings, "
          f"{time.perf_counter() - start:.0f} s")  # fmt: skip
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
