"""Reading a damaged or hostile input file ends in what it says or in one documented error, soon.

Run with `python -m fuzz.inputs --format coco`. Makes mutated files, decided by the seed, and reads them in
child processes. Reported are the outcomes, the most CPU time and the greatest growth of memory; what breaks
the promise (another exception, an error without the file's name, another content than another library reads,
more than 2 CPU seconds or 300 MB, a dead process) is left in a folder, and the program ends with 1.

Memory is the growth of the process's greatest resident size during one read, from Linux' /proc; what reading
the sound files takes, imports included, is not counted.
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
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import hypothesis
from hypothesis import strategies as st

from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError
from fuzz.input_formats import FORMATS, Format

SECONDS, MEGABYTES = 2.0, 300.0
BROKEN_OFF = 20
"""Seconds after which a read is broken off."""
CHUNK = 500
LONGEST_MESSAGE = 2000


class BrokenOff(BaseException):
    """A read was broken off; no `Exception`, so that no handler in the readers takes it."""


class Outcome(NamedTuple):
    """What came of one file."""

    name: str
    seconds: float
    megabytes: float
    problem: str | None


def _status(key: str) -> float:
    """Return a size from /proc/self/status in MB."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{key}:")[2].split()[0]) / 1024


def _break_off(signum: int, frame: FrameType | None) -> None:
    raise BrokenOff


def outcome_of(form: Format, path: Path) -> Outcome:
    """Read a file, measure it and compare what was read."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the greatest resident size
    before, start, found, problem = _status("VmRSS"), time.process_time(), None, None
    signal.alarm(BROKEN_OFF)
    try:
        found, name = form.read(path), "read"
    except (ConfigError, CubeFormatError, DatasetNotFoundError) as err:
        name, problem = type(err).__name__, _improper(str(err), path)
    except BrokenOff:
        name, problem = "broken off", traceback.format_exc()[-1500:]
    except Exception as err:  # whatever it is, it is what this program looks for
        name, problem = type(err).__name__, traceback.format_exc()[-1500:]
    finally:
        signal.alarm(0)
    seconds, megabytes = time.process_time() - start, _status("VmHWM") - before
    if name == "read" and form.differs(path, found):
        problem = "read as something else than it says"
    if seconds > SECONDS or megabytes > MEGABYTES:
        problem = problem or f"{seconds:.1f} s, {megabytes:.0f} MB"
    return Outcome(name, seconds, megabytes, problem)


def _improper(message: str, path: Path) -> str | None:
    """Return what is wrong with a refusal."""
    if len(message) > LONGEST_MESSAGE or not message.replace("\n", " ").isprintable():
        return f"a long or unprintable message: {message[:LONGEST_MESSAGE]!r}"
    # Ids that no cube has are problems of the split, whatever the file.
    named = path.name in message or message.startswith("Splits: expected")
    return None if named and "expected" in message and "got" in message else f"an unclear message: {message}"


def _chunk(name: str, count: int, seed: int, folder: Path) -> list[Outcome]:
    """Read mutated files, in a process of its own."""
    form, outcomes = FORMATS[name], list[Outcome]()
    path = folder / f"current-{os.getpid()}{form.suffix}"

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.sampled_from(form.seeds()).flatmap(form.mutated))
    def each(content: bytes) -> None:
        path.write_bytes(content)
        outcome = outcome_of(form, path)
        outcomes.append(outcome)
        if outcome.problem:
            (folder / f"case-{seed}-{len(outcomes)}{form.suffix}").write_bytes(content)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        each()
    path.unlink()  # one that is left tells what a child died of
    return outcomes


def _start(name: str, folder: Path) -> None:
    """Prepare a child process: the imports that a first read brings, and limits."""
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, _break_off)
    form = FORMATS[name]
    path = folder / f"sound-{os.getpid()}{form.suffix}"
    for content in form.seeds():
        path.write_bytes(content)
        if form.differs(path, form.read(path)):
            raise ValueError(f"a sound {name} file is misread")
    path.unlink()
    # So that a bomb fails here, which is a finding, instead of taking the machine along.
    most = int(_status("VmSize") * 2**20) + 4 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def fuzzed(name: str, count: int, seed: int, workers: int, folder: Path) -> list[Outcome]:
    """Read some `count` mutated files of a format; offending ones are left in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [min(CHUNK, count - begun) for begun in range(0, count, CHUNK)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start, (name, folder)) as pool:
        chunks = [pool.submit(_chunk, name, size, 1000 * seed + i, folder) for i, size in enumerate(sizes)]
        try:
            return [outcome for chunk in chunks for outcome in chunk.result()]
        except BrokenProcessPool:
            left = [str(path) for path in folder.glob("current-*")]
            return [Outcome("dead process", 0, 0, f"a process died of one of {left}")]


def main() -> int:
    """Fuzz, report, and return 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--format", choices=[*FORMATS], required=True, help="of the files")
    parser.add_argument("--count", type=int, default=3000, help="mutated files")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other files")
    parser.add_argument("--workers", type=int, default=1, help="child processes")
    parser.add_argument("--folder", type=Path, default=Path("outputs/fuzz"), help="for offending files")
    args = parser.parse_args()
    outcomes = fuzzed(args.format, args.count, args.seed, args.workers, args.folder)
    findings = [outcome.problem for outcome in outcomes if outcome.problem]
    print("\n".join(findings).encode("utf-8", "backslashreplace").decode())
    for name, n in sorted(Counter(outcome.name for outcome in outcomes).items()):
        print(f"{n:8}  {name}")
    seconds, megabytes = max(o.seconds for o in outcomes), max(o.megabytes for o in outcomes)
    print(f"{len(outcomes)} {args.format} files, seed {args.seed}: {len(findings)} findings")
    print(f"at most {seconds:.2f} CPU s and {megabytes:.0f} MB")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
