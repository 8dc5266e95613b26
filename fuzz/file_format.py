"""`Format`, a format of input files, and what an attacker or a bad disk does to bytes and to JSON."""

import json
import re
import struct
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st


class Reading(NamedTuple):
    """One way in which the package reads a file, and how to tell whether what it read is right."""

    name: str
    read: Callable[[Path], Any]
    """Reads a file as the package does."""
    differs: Callable[[Path, Any], bool]
    """Whether what was read is wrong, by another way of reading the file: another library, or the definition.
    It is asked only for files that the package has read, whose numbers are therefore sound."""


class Format(NamedTuple):
    """One format of input files."""

    suffix: str
    seeds: Callable[[], list[bytes]]
    """Sound files."""
    mutated: Callable[[bytes], st.SearchStrategy[bytes]]
    """Returns what becomes of one of them."""
    readings: tuple[Reading, ...]
    write: Callable[[Path, bytes], object] = Path.write_bytes
    """Lays a file out on disk, of which the rest, if any, begins with the same name."""


def changed_bytes(content: bytes) -> st.SearchStrategy[bytes]:
    """Cut, overwrite, insert, repeat."""

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        result = content
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(result)))
            new = draw(st.binary(max_size=8) | st.sampled_from((result[at : at + 40], bytes(1000))))
            cut = draw(st.sampled_from((len(new), len(new), 0, 1, 100, len(result))))
            result = result[:at] + new + result[at + cut :]
        return result

    return changed()


_EXTREMES = [0, 1, 2, 3, 5, 7, 8, 10, 12, 13, 14, 15, 100, 255, 2**15, 2**16 - 1, 2**20, 2**31 - 1, 2**31]
_EXTREMES += [2**32 - 1, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1]


def changed_words(content: bytes, within: int | None = None) -> st.SearchStrategy[bytes]:
    """Whole numbers of 1 to 8 bytes exchanged for others, at positions that numbers have.

    Args:
        content: of the file.
        within: only the first bytes are changed, such as those of a header; None: all are.
    """

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        result = bytearray(content)
        for _ in range(draw(st.integers(1, 3))):
            size, form = draw(st.sampled_from([(1, "B"), (2, "H"), (4, "I"), (4, "I"), (8, "Q")]))
            at = draw(st.integers(0, max(0, min(within or len(result), len(result)) // size - 1))) * size
            number = draw(st.sampled_from(_EXTREMES) | st.integers(0, 300)) % 2 ** (8 * size)
            result[at : at + size] = struct.pack(draw(st.sampled_from("<<<>")) + form, number)
        return bytes(result)

    return changed()


def changed_sizes(content: bytes, sizes: tuple[int, ...]) -> st.SearchStrategy[bytes]:
    """Some of these whole numbers, where they stand in 2 to 8 bytes, exchanged for others."""
    places = [
        (found.start(), form)
        for size in sizes
        for form in ("<H", "<I", "<Q", ">I")
        for found in re.finditer(re.escape(struct.pack(form, size)), content)
    ]

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        result = bytearray(content)
        for _ in range(draw(st.integers(1, 2))):
            at, form = draw(st.sampled_from(places))
            number = draw(st.sampled_from(_EXTREMES) | st.integers(0, 300))
            struct.pack_into(form, result, at, number % 2 ** (8 * struct.calcsize(form)))
        return bytes(result)

    return changed() if places else changed_words(content)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the places of a JSON tree as container and key."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


_scalars = (
    st.sampled_from(
        [None, True, 0, 1, 2, 3, 7, -1, 0.5, 11.5, -40, 1e3, 1e7, 1e9, -1e300, 10**400, 2**31, 2**63]
    )
    | st.sampled_from(
        [float("nan"), float("inf"), "1", "7", "a", "10", "", "\x00", "\ud800", "\x1b[2J", "x" * 10**5]
    )
    | st.floats()
)
_values = st.recursive(
    _scalars,
    lambda part: (
        st.lists(part, max_size=7) | st.dictionaries(st.sampled_from(("id", "size", "counts")), part)
    ),
    max_leaves=8,
)


def changed_tree(content: bytes) -> st.SearchStrategy[bytes]:
    """Values of a JSON file exchanged, removed, repeated, moved, cut."""

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        try:
            tree = json.loads(content)
        except (ValueError, RecursionError):  # it has been changed before
            return content
        for _ in range(draw(st.integers(1, 2))):
            places = [*_places(tree)]
            if not places:
                break
            container, key = places[draw(st.integers(0, len(places) - 1))]
            kind = draw(st.sampled_from((*4 * ["exchange"], "remove", "repeat", "move", "cut")))
            if kind == "remove":
                del container[key]
            elif kind == "repeat" and isinstance(container, list):
                container[key:key] = [container[key]] * draw(st.sampled_from((1, 2, 1000)))
            elif kind == "move":
                source, place = places[draw(st.integers(0, len(places) - 1))]
                container[key] = deepcopy(source[place])
            elif kind == "cut" and isinstance(container[key], str):
                container[key] = container[key][: draw(st.integers(0, len(container[key])))]
            else:
                container[key] = draw(_values)
        return json.dumps(tree).encode()

    return changed()
