"""The division of a folder's cubes into training, validation and test."""

import json
import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from reprlib import repr as shortened

from cuvis_ai.data.datamodule import SplitItems
from cuvis_ai.data.folders import SPLIT_FILE
from cuvis_ai.data.loading.dataset import CubeItem
from cuvis_ai.data.mask_sources import no_anomaly
from cuvis_ai.errors import ConfigError, printable

logger = logging.getLogger(__name__)

Id = str | int
"""A cube's name, or its number."""


def divided(
    items: Sequence[CubeItem],
    numbers: Sequence[Id | None],
    split_file: Path,
    ids: Mapping[str, Sequence[Id] | None] | None = None,
) -> SplitItems:
    """Return the items by the given ids, else by the split file if there is one, else in order.

    Args:
        items: in file-name order.
        numbers: each item's number, by which it can be named, too; None: it has none.
        split_file: as for `read_split_file`.
        ids: as for `by_id`; None throughout: none are given.

    Raises:
        ConfigError: an id that no item has, or a split file of another form.
    """
    if ids is None or all(wanted is None for wanted in ids.values()):
        if not split_file.is_file():
            return in_order(items)
        ids = read_split_file(split_file)
    known: dict[Id, CubeItem] = {item.name: item for item in items}
    known |= {number: item for item, number in zip(items, numbers, strict=True) if number is not None}
    return by_id(known, ids)


def in_order(items: Sequence[CubeItem]) -> SplitItems:
    """Return the first 60 % as train, the next 20 % as val, the rest as test.

    Each split gets at least one of three or more items; of two, the second is val.
    """
    n = len(items)
    n_held_out = max(1, round(0.2 * n)) if n > 1 else 0
    n_train = n - 2 * n_held_out if n > 2 else min(n, 1)
    splits = SplitItems(items[:n_train], items[n_train : n_train + n_held_out], items[n_train + n_held_out :])
    logger.info(
        "No splits given: the first %d of %d cubes in file-name order are for training, the next %d for "
        "validation, the last %d for test. Pass ids or write a %s to choose.",
        *(len(splits.train), n, len(splits.val), len(splits.test), SPLIT_FILE),
    )
    return splits


def by_id(known: Mapping[Id, CubeItem], ids: Mapping[str, Sequence[Id] | None]) -> SplitItems:
    """Return the items with the given ids.

    Args:
        known: the items, each under its name and its number.
        ids: what to take for train, val and test, in this order, under the name by which the user gave
            it; None takes nothing.

    Raises:
        ConfigError: an id that no item has; all of them are named at once.
    """
    problems = []
    for argument, wanted in ids.items():
        unknown = [i for i in wanted or () if _as_known(i, known) not in known]
        if unknown:
            problems.append(f"`{argument}` has {_shortened([*map(repr, unknown)])}")
    if problems:
        numbers = [i for i in known if isinstance(i, int)]
        names = [i for i in known if isinstance(i, str)]
        raise ConfigError(
            f"Splits: expected numbers of {_shortened(numbers)} or names of {_shortened(names)}, "
            f"got unknown ids: {'; '.join(problems)}. Correct these ids."
        )
    return SplitItems(*([known[_as_known(i, known)] for i in wanted or ()] for wanted in ids.values()))


def _as_known(wanted: Id, known: Container[Id]) -> Id:
    """Return an id as the cubes have it: a text of digits that is no name stands for its number."""
    if isinstance(wanted, str) and wanted not in known and wanted.isascii() and wanted.isdigit():
        return int(wanted[:20])
    return wanted


def numbers_of(names: Sequence[str]) -> list[int]:
    """Return the numbers that stand for cubes: their names, where all are numbers, else their positions."""
    if all(name.isascii() and name.isdigit() for name in names):
        numbers = [int(name) for name in names]
        if len(set(numbers)) == len(numbers):
            return numbers
    return list(range(len(names)))


def with_unlisted_as_normal(splits: SplitItems) -> SplitItems:
    """Return the splits with an empty mask for each cube without one, where others of its split have one."""
    completed = []
    for name, items in zip(SplitItems._fields, splits, strict=True):
        unlisted = [item for item in items if item.mask is None]
        if unlisted and len(unlisted) < len(items):
            logger.info(
                "%s: %d of %d cubes have no annotation and count as free of anomalies: %s",
                *(name, len(unlisted), len(items), _shortened([item.name for item in unlisted])),
            )
            items = [item if item.mask else replace(item, mask=no_anomaly) for item in items]
        completed.append(items)
    return SplitItems(*completed)


def read_split_file(path: Path) -> dict[str, list[Id]]:
    """Return the ids of train, val and test that a JSON file gives; a split it leaves out is empty.

    Raises:
        ConfigError: no JSON object of lists, or a split of another name.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as err:
        raise ConfigError(f"{path}: expected JSON, got: {str(err)[:200]!r}. Correct the file.") from err
    splits = SplitItems._fields
    if not isinstance(content, dict):
        raise ConfigError(
            f'{path}: expected {{"train": [names or numbers], "val": […], "test": […]}}, '
            f"got {shortened(content)}. Correct the file."
        )
    if unknown := sorted(set(content) - set(splits)):
        raise ConfigError(
            f"{path}: expected the splits {list(splits)}, got {shortened(unknown)}. Rename them."
        )
    for split, ids in content.items():
        wrong = (
            [i for i in ids if isinstance(i, bool) or not isinstance(i, str | int)]
            if isinstance(ids, list)
            else [ids]
        )
        if wrong:
            raise ConfigError(
                f'{path}: expected {{"train": [names or numbers], "val": […], "test": […]}}, '
                f"got {shortened(wrong[0])} in `{split}`. Correct the file."
            )
    return {f"{path.name}: {split}": content.get(split, []) for split in splits}


def _shortened(values: Sequence[object]) -> str:
    text = ", ".join(str(value) for value in values[:20])[:500]
    return f"[{printable(text)}{', …' if len(values) > 20 else ''}]"
