"""Records without the texts that monitors must not be given, such as passwords."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

_Record = TypeVar("_Record")
_SHORT = 4
"""Texts of fewer characters are replaced as a whole only: they are part of many words."""


def without(record: _Record, withheld: Mapping[str, str]) -> _Record:
    """Return a record with other texts in place of those withheld.

    Args:
        record: a dataclass of plain values.
        withheld: texts, and what stands for each.
    """
    cleaned: _Record = _cleaned(record, withheld) if withheld else record
    return cleaned


def _cleaned(value: Any, withheld: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        if value in withheld:
            return withheld[value]
        for text in sorted(withheld, key=len, reverse=True):
            value = value.replace(text, withheld[text]) if len(text) >= _SHORT else value
        return value
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _cleaned(getattr(value, field.name), withheld) for field in fields(value)}
        return replace(value, **parts)
    if isinstance(value, Mapping):
        return {key: _cleaned(one, withheld) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_cleaned(one, withheld) for one in value)
    return value
