"""The first map by `detect`, start to exit, takes at most 2.5 times as long as importing torch and Lightning.

An ENVI scene of 100 × 100 pixels and 200 bands, in the page cache; beside it what Spectral Python takes to
import, read the same file and compute RX, of which it draws and writes nothing.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from harness import Comparison, main
from work import files_of_run, write_envi

SPECTRAL = "import spectral; spectral.rx(spectral.open_image({!r}).load())"


DETECT = "from cuvis_ai.cli import main; main()"


def write(folder: Path) -> None:
    """Write the scene."""
    write_envi(folder, "scene", 100, 100, 200)


def header() -> Path:
    """Return the scene."""
    return files_of_run(write) / "scene.hdr"


def python(*arguments: str) -> None:
    """Run a fresh process."""
    subprocess.run([sys.executable, "-W", "ignore", *arguments], check=True, capture_output=True)


def detect() -> Callable[[], object]:
    """Return what makes the map, into a folder of its own."""
    scene, maps = header(), Path(os.environ["BENCHMARK_FOLDER"]) / "maps"

    def run() -> None:
        shutil.rmtree(maps, ignore_errors=True)
        python("-c", DETECT, "detect", str(scene), "--out", str(maps))

    return run


ALTERNATIVES = {
    "detect": detect,
    "imports": lambda: lambda: python("-c", "import torch, lightning.pytorch"),
    "spectral": lambda: lambda: python("-c", SPECTRAL.format(str(header()))),
}

COMPARISONS = [
    Comparison(claim="first map by `detect`", ours="detect", peer="imports", at_most=2.5),
    Comparison(claim="first map by `detect`", ours="detect", peer="spectral"),
]

if __name__ == "__main__":
    main(ALTERNATIVES, COMPARISONS, rounds=5)
