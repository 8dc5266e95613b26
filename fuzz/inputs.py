"""Reading a damaged or hostile input file ends in what it says or in one documented error, soon.

Run with `python -m fuzz.inputs`, or with `--format coco` for one format. Makes mutated files, decided by the
seed, and reads them in child processes. Reported are the outcomes, the most CPU time and the greatest growth
of memory; what breaks the promise (another exception, an error that does not name the file, another content
than another library reads, more than 2 CPU seconds or 300 MB, a dead process) is left in a folder, and the
program ends with 1.
"""

import argparse
import os
import shutil
import sys
import traceback
from functools import partial
from pathlib import Path

from hypothesis import strategies as st

from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError
from fuzz import annotation_formats, cube_formats
from fuzz.file_format import Format, Reading
from fuzz.measuring import (
    CHUNK,
    Outcome,
    Promise,
    each_example,
    in_children,
    outcome_of,
    prepare_child,
    report,
)

FORMATS: dict[str, Format] = annotation_formats.FORMATS | cube_formats.FORMATS

_REFUSALS = (ConfigError, CubeFormatError, DatasetNotFoundError)
_MEGABYTES = 300.0


def reading_of(reading: Reading, path: Path) -> Outcome:
    """Read a file, measure it and compare what was read."""
    promise = Promise(_REFUSALS, partial(_unclear, path), _MEGABYTES)
    return outcome_of(reading.name, partial(reading.read, path), partial(_misread, reading, path), promise)


def _misread(reading: Reading, path: Path, found: object) -> str | None:
    try:
        return "read as something else than it says" if reading.differs(path, found) else None
    except Exception:  # the other library's, which has the last word on nothing but sound files
        return f"read, though not by another library: {traceback.format_exc()[-1500:]}"


def _unclear(path: Path, err: Exception) -> str | None:
    """Return what is wrong with a refusal."""
    message = str(err)
    # Ids that no cube has are problems of the split, whatever the file.
    named = path.stem in message or message.startswith("Splits: expected")
    return None if named and "expected" in message and "got" in message else f"an unclear message: {message}"


def _chunk(name: str, count: int, seed: int, folder: Path) -> list[Outcome]:
    """Read mutated files, in a process of its own."""
    form, outcomes = FORMATS[name], list[Outcome]()
    # One that is left tells what a child died of.
    current = folder / f"current-{name}-{seed}{form.suffix}"
    n_files = 0

    def take(content: bytes) -> None:
        nonlocal n_files
        n_files += 1
        form.write(current, content)
        found = [reading_of(reading, current) for reading in form.readings]
        outcomes.extend(found)
        if any(outcome.problem for outcome in found):
            form.write(folder / f"case-{name}-{seed}-{n_files}{form.suffix}", content)

    each_example(seed, count, st.sampled_from(form.seeds()).flatmap(form.mutated), take)
    _remove(current)
    return [outcome._replace(kind=f"{name} {outcome.kind}") for outcome in outcomes]


def _remove(path: Path) -> None:
    for one in path.parent.glob(f"{path.stem}.*"):
        shutil.rmtree(one) if one.is_dir() else one.unlink()


def _start(names: list[str], folder: Path) -> None:
    prepare_child(partial(_read_sound, names, folder))


def _read_sound(names: list[str], folder: Path) -> None:
    """Read the sound files of some formats, each of which holds something that can be read."""
    for name, form in ((name, FORMATS[name]) for name in names):
        path = folder / f"sound-{os.getpid()}{form.suffix}"
        for content in form.seeds():
            form.write(path, content)
            outcomes = [reading_of(reading, path) for reading in form.readings]
            wrong = [outcome for outcome in outcomes if outcome.problem and outcome.name != "read"]
            if wrong or not any(outcome.name == "read" for outcome in outcomes):
                raise ValueError(f"a sound {name} file is misread: {outcomes}")
        _remove(path)


def fuzzed(names: list[str], count: int, seed: int, workers: int, folder: Path) -> list[Outcome]:
    """Read some `count` mutated files of each format; offending ones are left in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    calls = [
        (name, min(CHUNK, count - begun), 1000 * seed + begun // CHUNK, folder)
        for name in names
        for begun in range(0, count, CHUNK)
    ]
    return in_children(_chunk, calls, _start, (names, folder), workers)


def main() -> int:
    """Fuzz, report, and return 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--format", choices=[*FORMATS], action="append", help="of the files; default: all")
    parser.add_argument("--count", type=int, default=3000, help="mutated files of a format")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other files")
    parser.add_argument("--workers", type=int, default=1, help="child processes")
    parser.add_argument("--folder", type=Path, default=Path("outputs/fuzz"), help="for offending files")
    args = parser.parse_args()
    names = args.format or [*FORMATS]
    status = 0
    for name in names:
        outcomes = fuzzed([name], args.count, args.seed, args.workers, args.folder)
        status |= report(outcomes, f"{args.count} {name} files, seed {args.seed}")
    return status


if __name__ == "__main__":
    sys.exit(main())
