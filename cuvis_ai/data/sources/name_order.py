"""The order of names with numbers in them: `band_2` before `band_10`."""

import re

_NUMBER = re.compile(r"([0-9]+)")


def by_number(name: object) -> tuple[list[str | int], str]:
    """Return a key to sort names by, in which a run of digits counts as the number that it writes.

    Args:
        name: a name, or a path, of which each part counts so.

    Example:
        >>> sorted(["b10", "b9", "a", "b09"], key=by_number)
        ['a', 'b09', 'b9', 'b10']
    """
    text = str(name)
    parts: list[str | int] = [int(part) if i % 2 else part for i, part in enumerate(_NUMBER.split(text))]
    return parts, text
