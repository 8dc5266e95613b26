"""The loop of the fuzzers: mutations that a seed decides, read in child processes, timed and weighed.

Time is the CPU's, so that other work on the machine does not count. Memory is the growth of the process's
greatest resident size during one read, from Linux' /proc; the imports that a first read brings are not
counted, as sound files are read before.
"""

import argparse
import logging
import multiprocessing
import resource
import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, TypeVar

import hypothesis
from hypothesis import strategies as st

SECONDS = 2.0
"""CPU time that a read may take."""
BROKEN_OFF = 20
"""CPU seconds after which a read is broken off."""
CHUNK = 500
LONGEST_MESSAGE = 2000

T = TypeVar("T")


class BrokenOff(BaseException):
    """A read was broken off; no `Exception`, so that no handler in the readers takes it."""


class Outcome(NamedTuple):
    """What came of one file."""

    kind: str
    """The mutation, or what was read of the file."""
    name: str
    """`read`, or the class of the error."""
    seconds: float
    megabytes: float
    problem: str | None
    """How it breaks the promise."""


class Promise(NamedTuple):
    """What every read keeps to."""

    refusals: tuple[type[Exception], ...]
    """Errors that are documented."""
    improper: Callable[[Exception], str | None]
    """Returns what is wrong with a refusal besides its length."""
    megabytes: float


def outcome_of(
    kind: str, read: Callable[[], T], problem_of: Callable[[T], str | None], promise: Promise
) -> Outcome:
    """Read a file, measure it, and look at what was read."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the greatest resident size
    before, start, found, problem = status("VmRSS"), time_of_cpu(), list[T](), None
    signal.setitimer(signal.ITIMER_PROF, BROKEN_OFF)
    try:
        found.append(read())
        name = "read"
    except promise.refusals as err:
        name, problem = type(err).__name__, _improper(err) or promise.improper(err)
    except BrokenOff:
        name, problem = "broken off", traceback.format_exc()[-1500:]
    except Exception as err:  # whatever it is, it is what the fuzzers look for
        name, problem = type(err).__name__, traceback.format_exc()[-1500:]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds, megabytes = time_of_cpu() - start, status("VmHWM") - before
    if found:
        problem = problem_of(found[0])
    if seconds > SECONDS or megabytes > promise.megabytes:
        problem = problem or f"{seconds:.1f} s, {megabytes:.0f} MB"
    return Outcome(kind, name, seconds, megabytes, problem)


def status(key: str) -> float:
    """Return a size from /proc/self/status in MB."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{key}:")[2].split()[0]) / 1024


def time_of_cpu() -> float:
    """Return the seconds that this process and its finished children have computed."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def _improper(err: Exception) -> str | None:
    message = str(err)
    if len(message) > LONGEST_MESSAGE or not message.replace("\n", " ").isprintable():
        return f"a long or unprintable message: {message[:LONGEST_MESSAGE]!r}"
    return None


def each_example(seed: int, count: int, files: st.SearchStrategy[T], take: Callable[[T], None]) -> None:
    """Call `take` with some `count` mutated files, which the seed decides."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(files)
    def once(file: T) -> None:
        take(file)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's, on doubled names that are wanted here, and the readers'
        once()


def prepare_child(read_sound_files: Callable[[], None]) -> None:
    """Make a child process ready: the imports that a first read brings, and limits."""
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGPROF, _break_off)
    read_sound_files()
    # So that a bomb fails here, which is a finding, instead of taking the machine along.
    most = int(status("VmSize") * 2**20) + 4 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _break_off(signum: int, frame: FrameType | None) -> None:
    raise BrokenOff


def in_children(
    chunk: Callable[..., list[Outcome]],
    calls: Sequence[tuple[Any, ...]],
    start: Callable[..., None],
    arguments: tuple[Any, ...],
    workers: int,
) -> list[Outcome]:
    """Return the outcomes of all calls of `chunk`, made in child processes; the death of one is an outcome.

    Children start bare: they must not hold what the parent imported.

    Args:
        chunk: reads some files.
        calls: its arguments.
        start: prepares a child.
        arguments: those of `start`.
        workers: how many children there are at a time.
    """
    context = multiprocessing.get_context("spawn")

    def one_after_another(waiting: list[tuple[Any, ...]]) -> list[Outcome]:
        outcomes = list[Outcome]()
        while waiting:
            with ProcessPoolExecutor(1, context, start, arguments) as pool:
                try:
                    while waiting:
                        outcomes += pool.submit(chunk, *(call := waiting.pop(0))).result()
                except BrokenProcessPool:
                    outcomes.append(Outcome("", "dead process", 0, 0, f"a process died in {call!r:.300}"))
        return outcomes

    with ThreadPoolExecutor(workers) as threads:
        shares = threads.map(one_after_another, [[*calls[i::workers]] for i in range(workers)])
        return [outcome for share in shares for outcome in share]


def report(outcomes: Sequence[Outcome], what: str) -> int:
    """Print what was found, and return the exit status: 1 if a promise was broken."""
    findings = [f"{outcome.kind}: {outcome.problem}" for outcome in outcomes if outcome.problem]
    print("\n".join(findings).encode("utf-8", "backslashreplace").decode())
    counts = Counter((kind, outcome.name) for outcome in outcomes for kind in ("all", outcome.kind))
    for (kind, name), n in sorted(counts.items()):
        print(f"{n:8}  {kind}: {name}")
    seconds, megabytes = max(o.seconds for o in outcomes), max(o.megabytes for o in outcomes)
    print(f"{what}: {len(findings)} findings, at most {seconds:.2f} CPU s and {megabytes:.0f} MB", flush=True)
    return 1 if findings else 0


def command(
    description: str, what: str, count: int, fuzzed: Callable[[int, int, int, Path], Sequence[Outcome]]
) -> int:
    """Fuzz as the command line says, report, and return 1 if there are findings.

    Args:
        description: the module's docstring, whose first line is the help.
        what: what is mutated, in the plural.
        count: how many by default.
        fuzzed: called with the count, the seed, the number of workers, and the folder for offending files.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--count", type=int, default=count, help=f"mutated {what}")
    parser.add_argument("--seed", type=int, default=0, help=f"another seed gives other {what}")
    parser.add_argument("--workers", type=int, default=2, help="child processes")
    parser.add_argument("--folder", type=Path, default=Path("outputs/fuzz"), help=f"for offending {what}")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    outcomes = fuzzed(args.count, args.seed, args.workers, args.folder)
    return report(outcomes, f"{len(outcomes)} {what}, seed {args.seed}")
