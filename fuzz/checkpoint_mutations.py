"""What an attacker does to a checkpoint, as Hypothesis strategies: bytes, zip, pickle, values."""

import io
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
from hypothesis import strategies as st

PRECIOUS = "precious"
"""A folder beside that of the checkpoints, whose path mutated checkpoints hold."""


def unpickled(content: bytes) -> dict[str, Any]:
    """Return what a checkpoint holds."""
    checkpoint: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
    return checkpoint


def _pickled(checkpoint: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()


def _members(content: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return [(name, file.read(name)) for name in file.namelist()]


def _zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, value in members:
            file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), value, method)
    return buffer.getvalue()


@st.composite
def _bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Bits flipped, bytes cut, overwritten and inserted."""
    kind = draw(st.sampled_from(("flip", "flip", "cut", "overwrite", "insert")))
    at = draw(st.integers(0, len(content) - 1))
    new = draw(st.binary(min_size=1, max_size=8))
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ 1 << draw(st.integers(0, 7))]) + content[at + 1 :]
    if kind == "cut":
        return content[:at]
    return content[:at] + new + content[at + (len(new) if kind == "overwrite" else 0) :]


@st.composite
def _zip(draw: st.DrawFn, content: bytes) -> bytes:
    """Members left out, doubled, exchanged, renamed, compressed, added by thousands."""
    members = _members(content)
    at, other = (draw(st.integers(0, len(members) - 1)) for _ in range(2))
    kind = draw(st.sampled_from(("left out", "doubled", "exchanged", "renamed", "compressed", "many")))
    if kind == "left out":
        del members[at]
    elif kind == "doubled":
        members.append((members[at][0], members[other][1]))
    elif kind == "exchanged":
        members[at] = (members[at][0], members[other][1])
    elif kind == "renamed":
        members[at] = (draw(st.sampled_from(("../evil", "/evil", "archive/data.pkl", "x"))), members[at][1])
    elif kind == "many":
        members += [(f"archive/{i}", b"") for i in range(draw(st.sampled_from((10, 21_000))))]
    return _zipped(members, zipfile.ZIP_DEFLATED if kind == "compressed" else zipfile.ZIP_STORED)


@st.composite
def _pickle(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of the pickle or of a tensor change inside a zip whose checksums are right."""
    members = _members(content)
    at = draw(st.sampled_from((0, 0, 0, draw(st.integers(0, len(members) - 1)))))
    members[at] = (members[at][0], draw(_bytes(members[at][1])) if members[at][1] else b"x")
    return _zipped(members)


def _values(folder: str) -> st.SearchStrategy[Any]:
    numbers = (0, 1, 2, 3, -1, 0.5, 1e308, float("nan"), float("inf"), -float("inf"), 2**31, 2**63, 10**400)
    paths = (f"{folder}/kept/../{PRECIOUS}", f"{folder}/{PRECIOUS}", f"local://{folder}/{PRECIOUS}", "", "x")
    tensors: tuple[Callable[[], torch.Tensor], ...] = (
        lambda: torch.zeros(3),
        lambda: torch.zeros(0),
        lambda: torch.full((3, 7), torch.nan),
        lambda: torch.zeros(7, dtype=torch.int64),
        lambda: torch.zeros(3, 7, dtype=torch.float16),
        lambda: torch.zeros(1).expand(10**7, 10**7),
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.zeros(10**12, device="meta"),
    )
    plain = st.one_of(
        st.none(), st.booleans(), st.sampled_from(numbers), st.sampled_from(paths),
        st.sampled_from(tensors).map(lambda make: make()),
    )  # fmt: skip
    return plain | st.lists(plain, max_size=3) | st.dictionaries(st.sampled_from(("x", 0, "lr")), plain)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the places of nested dicts and lists as container and key."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


@st.composite
def _tree(draw: st.DrawFn, content: bytes, folder: str) -> bytes:
    """Values exchanged, removed, added and moved."""
    checkpoint = unpickled(content)
    for _ in range(draw(st.sampled_from((1, 1, 2)))):
        part = draw(st.sampled_from([*checkpoint]))
        inner = [*_places(checkpoint[part])] if isinstance(checkpoint[part], dict | list) else []
        places = [(checkpoint, part), *inner]
        container, key = places[draw(st.integers(0, len(places) - 1))]
        kind = draw(st.sampled_from((*4 * ["exchange"], "remove", "add", "move")))
        if kind == "exchange":
            container[key] = draw(_values(folder))
        elif kind == "remove":
            del container[key]
        elif kind == "move":
            source, place = places[draw(st.integers(0, len(places) - 1))]
            container[key] = deepcopy(source[place])
        elif isinstance(container, dict):
            container[draw(st.sampled_from(("x", 5, "state_dict", "reset")))] = draw(_values(folder))
        else:
            container.append(draw(_values(folder)))
        if not checkpoint:
            break
    return _pickled(checkpoint)


MUTATIONS: dict[str, tuple[int, Callable[[bytes, str], st.SearchStrategy[bytes]]]] = {
    "bytes": (25, lambda content, folder: _bytes(content)),
    "zip structure": (10, lambda content, folder: _zip(content)),
    "bytes under right checksums": (15, lambda content, folder: _pickle(content)),
    "values": (50, lambda content, folder: _tree(content, folder)),
}
"""Each kind with its share in percent."""
