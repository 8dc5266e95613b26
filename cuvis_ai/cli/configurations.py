"""The configurations and groups that come with the package, as `train --list` and shells show them."""

from pathlib import Path

import yaml

import cuvis_ai.conf

_FOLDER = Path(cuvis_ai.conf.__file__).parent
_HEADING = "== Configurations"


def described() -> list[str]:
    """Return a line for each configuration: its name and what it is."""
    shared = yaml.safe_load((_FOLDER / "general.yaml").read_text(encoding="utf-8"))
    lines: list[str] = shared["hydra"]["help"]["header"].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(_HEADING))
    return [line for line in lines[start + 1 :] if line.strip()]


def groups() -> dict[str, list[str]]:
    """Return the options of each group of parts."""
    return {
        folder.name: sorted(path.stem for path in folder.glob("*.yaml"))
        for folder in sorted(_FOLDER.iterdir())
        if any(folder.glob("*.yaml"))
    }
