"""What a split holds: its files, its pixels and how many of them are anomalies."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from cuvis_ai.data.loading.dataset import CubeDataset

logger = logging.getLogger(__name__)

_MOST_FILES = 20


class Anomalies(NamedTuple):
    """Pixels of a split by what its masks say."""

    anomalous: int
    """How many are anomalies."""
    known: int
    """Of how many that is known; 0: there is no mask."""

    @classmethod
    def of(cls, dataset: CubeDataset) -> "Anomalies":
        """Count them; reads the masks."""
        counts = [dataset.count_anomalous(index) for index in range(len(dataset))]
        return cls(*(sum(part) for part in zip(*counts, strict=True))) if counts else cls(0, 0)

    def log(self, where: str, split: str) -> None:
        """Log their share, with a warning where it is more than half."""
        if self.known == 0:
            return
        share = f"{100 * self.anomalous / self.known:.3g} %"
        text = f"{self.anomalous} of {self.known} pixels ({share}) are anomalies"
        if 2 * self.anomalous > self.known:
            logger.warning(
                "%s: %s: %s, more than half. Is the mask inverted, or do several labels count as anomalies?",
                *(where, split, text),
            )
        else:
            logger.info("%s: %s: %s.", where, split, text)


def facts_of(
    datasets: Mapping[str, CubeDataset], anomalies: Mapping[str, Anomalies]
) -> dict[str, str | int | float]:
    """Return pixels, anomalies and their share of each split, and the files of all, by name.

    Args:
        datasets: by split; one without items is left out.
        anomalies: by split, where they have been counted.
    """
    facts: dict[str, str | int | float] = {}
    for split, dataset in datasets.items():
        if not dataset.items:
            continue
        facts[f"{split} pixels"] = sum(dataset.count_pixels(index) for index in range(len(dataset)))
        if split in anomalies and anomalies[split].known:
            anomalous, known = anomalies[split]
            facts[f"{split} anomalies"] = anomalous
            facts[f"{split} share of anomalies"] = anomalous / known
    files = dict.fromkeys(item.path for dataset in datasets.values() for item in dataset.items)
    return {"files": _listed(files), **facts}


def _listed(files: Iterable[Path]) -> str:
    names = [str(path) for path in files]
    more = f" and {len(names) - _MOST_FILES} more" if len(names) > _MOST_FILES else ""
    return ", ".join(names[:_MOST_FILES]) + more
