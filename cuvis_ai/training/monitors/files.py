"""Files of an earlier run, which are neither mixed with those of a new one nor lost."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

logger = logging.getLogger(__name__)


def move_aside(folder: Path, names: Iterable[str]) -> None:
    """Rename what exists of `names` in a folder: `metrics.jsonl` to `metrics.20260131T120000Z.jsonl`.

    All get the time of the first one's last change, so that files of one run stay together.
    """
    present = [folder / name for name in names if (folder / name).exists()]
    if not present:
        return
    changed = datetime.fromtimestamp(present[0].stat().st_mtime, UTC).strftime("%Y%m%dT%H%M%SZ")
    stamps = (changed if i == 1 else f"{changed}-{i}" for i in range(1, 10_000))
    stamp = next(s for s in stamps if not any(_stamped(path, s).exists() for path in present))
    for path in present:
        path.rename(_stamped(path, stamp))
        logger.info("%s of an earlier run moved to %s", path.name, _stamped(path, stamp))


def _stamped(path: Path, stamp: str) -> Path:
    return path.with_name(f"{path.stem}.{stamp}{path.suffix}")
