"""Times alternatives in turn, so that other work on the machine meets all of them, and reports ratios.

A benchmark names its alternatives, each a function that makes its input and returns what is timed, and
compares pairs of them. A ratio is taken within each round; its median and quartiles over the rounds are
reported. Peak memory is that of a fresh process that runs one alternative once, above what its input took.

    python benchmarks/<file>.py                 prints the rows, and fails where a target is missed
    python benchmarks/<file>.py --json out.json also writes them
"""

import argparse
import gc
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_info

Alternative = Callable[[], Callable[[], object]]
"""Makes the input, returns what is timed; a returned float is taken as the seconds that count."""

CLEAR_PEAK = "5"
"""Written to /proc/self/clear_refs, sets the process's peak memory to its present one."""


SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")
"""Set on some machines: for old builds of OpenBLAS, which slows that of a current NumPy, or to keep folders
clean, which lets every process compile a package that is not installed from a wheel."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A claim about two alternatives.

    Attributes:
        claim: what is claimed, in a few words.
        ours, peer: names of alternatives.
        at_most: the greatest permitted ours / peer; infinite if it is shown only.
        added_mb: the most that ours may add to the process, if that is claimed.
    """

    claim: str
    ours: str
    peer: str
    at_most: float = math.inf
    added_mb: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A comparison as it was measured: quartiles of ours / peer, megabytes added by each."""

    claim: str
    peer: str
    at_most: float
    ratio: float
    low: float
    high: float
    ours_ms: float
    ours_mb: float
    peer_mb: float
    added_mb: float | None

    @property
    def held(self) -> bool:
        """Whether the target was met."""
        return self.ratio <= self.at_most and (self.added_mb is None or self.ours_mb <= self.added_mb)


def main(
    alternatives: Mapping[str, Alternative], comparisons: Sequence[Comparison], *, rounds: int = 9
) -> None:
    """Measure, print, and exit with 1 if a target is missed."""
    restart_at_full_speed()
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json", type=Path, help="where the rows are written, too")
    parser.add_argument("--memory", choices=sorted(alternatives), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.memory:
        print(json.dumps(added_mb(alternatives[chosen.memory])))
        return
    print(machine(), flush=True)
    seconds = in_turn(alternatives, chosen.rounds)
    added = {name: _added_mb_of_fresh_process(name) for name in alternatives}
    rows = [_row(comparison, seconds, added) for comparison in comparisons]
    print(table(rows))
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    sys.exit(not all(row.held for row in rows))


def restart_at_full_speed() -> None:
    """Begin this process again without `SLOWING`, if one is set: they are read at the start."""
    if not os.environ.keys().isdisjoint(SLOWING):
        environment = {name: value for name, value in os.environ.items() if name not in SLOWING}
        os.execve(sys.executable, sys.orig_argv, environment)


def machine() -> str:
    """Return what the figures depend on beside the code."""
    kernels = {
        f"{library['internal_api']} {library.get('architecture', '')}".strip()
        for library in threadpool_info()
        if library["user_api"] == "blas" and "numpy" in library["filepath"]
    }
    return (
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"NumPy {np.__version__} on {', '.join(sorted(kernels)) or 'its own BLAS'}; "
        f"{', '.join(SLOWING)} are unset"
    )


def in_turn(alternatives: Mapping[str, Alternative], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every alternative in every round, after one round that does not count."""
    ready = {name: make() for name, make in alternatives.items()}
    names = list(ready)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        # Each round starts with another one, so that none always follows the same.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            gc.collect()
            start = time.perf_counter()
            own = ready[name]()
            if number:
                # What runs in processes of its own times itself.
                seconds[name].append(own if isinstance(own, float) else time.perf_counter() - start)
    return seconds


def added_mb(make: Alternative) -> float:
    """Return how far one call raises this process's peak memory above what it holds before."""
    run = make()
    gc.collect()
    Path("/proc/self/clear_refs").write_text(CLEAR_PEAK)
    before = _status_mb("VmRSS")
    run()
    return _status_mb("VmHWM") - before


def _status_mb(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024


def _added_mb_of_fresh_process(name: str) -> float:
    command = [sys.executable, sys.argv[0], "--memory", name]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(result.stdout.splitlines()[-1]))


def _row(comparison: Comparison, seconds: Mapping[str, Sequence[float]], added: Mapping[str, float]) -> Row:
    ours, peer = seconds[comparison.ours], seconds[comparison.peer]
    assert len(ours) > 1, "expected two rounds or more: quartiles of a single ratio say nothing"
    low, middle, high = statistics.quantiles([a / b for a, b in zip(ours, peer, strict=True)], n=4)
    return Row(
        claim=comparison.claim, peer=comparison.peer, at_most=comparison.at_most,
        ratio=middle, low=low, high=high, ours_ms=1e3 * statistics.median(ours),
        ours_mb=added[comparison.ours], peer_mb=added[comparison.peer], added_mb=comparison.added_mb,
    )  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text."""
    lines = [f"{'claim':<44} {'beside':<34} {'ratio':>6} {'quartiles':>13} {'target':>7} {'MB':>6} {'MB':>7}"]
    for row in rows:
        target = "" if math.isinf(row.at_most) else f"≤ {row.at_most:.3g}"
        allowed = "" if row.added_mb is None else f" of {row.added_mb:.0f} MB"
        lines.append(
            f"{row.claim:<44} {row.peer:<34} {row.ratio:6.2f} {row.low:6.2f}–{row.high:5.2f} "
            f"{target:>8} {row.ours_mb:6.0f} {row.peer_mb:7.0f}"
            f"{'' if row.held else '  MISSED'}{allowed}"
        )
    return "\n".join(lines)
