"""Runs all comparisons and prints them as one table; the other claims follow, each with its own figures.

python benchmarks/table.py --json outputs/benchmarks.json
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import Row, machine, restart_at_full_speed, table

HERE = Path(__file__).parent
COMPARED = (
    "statistics_in_memory",
    "gradient_step",
    "epoch",
    "inference",
    "detection_costs_at_most_twice_rx",
    "statistics_from_disk",
    "chosen_bands_are_read_alone",
    "import_time",
    "first_map",
    "two_processes",
)
ALONE = (
    "large_scene_reads_in_little_memory",
    "scene_to_map",
    "large_scene_trains_in_little_memory",
    "logging_costs_at_most_three_percent",
)


def main() -> None:
    """Run, print, and exit with 1 if a claim does not hold."""
    restart_at_full_speed()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("outputs/benchmarks.json"))
    chosen = parser.parse_args()
    rows: list[Row] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in COMPARED:
            print(f"measuring {name} …", flush=True)
            written = Path(folder) / f"{name}.json"
            command = [sys.executable, "-W", "ignore", str(HERE / f"{name}.py"), "--json", str(written)]
            result = subprocess.run(command, capture_output=True, text=True)
            if not written.exists():
                failed.append(name)
                print(result.stderr, file=sys.stderr)
                continue
            rows += [Row(**row) for row in json.loads(written.read_text())]
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps([vars(row) for row in rows], indent=1))
    print(machine())
    print(table(rows))
    for name in ALONE:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-W", "ignore", str(HERE / f"{name}.py")]).returncode:
            failed.append(name)
    missed = [f"{row.claim} beside {row.peer}" for row in rows if not row.held]
    sys.exit("; ".join([*missed, *failed]) or None)


if __name__ == "__main__":
    main()
