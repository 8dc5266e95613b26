"""Fitting from untrusted statistics ends in a fitted graph or a documented error, soon, in little memory.

Run with `python -m fuzz.sketches`. Mutates files of statistics, decided by the seed, and fits graphs from
them in child processes. Reported are the outcomes; what breaks the promise (another exception, more than 2
CPU seconds or 200 MB, a graph left half fitted, a dead process) is written to a folder, and the program ends
with 1.
"""

import json
import os
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import load, save

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import ArchiveError, GraphError, NotFittedError
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from fuzz.measuring import (
    CHUNK,
    Outcome,
    Promise,
    command,
    each_example,
    in_children,
    outcome_of,
    prepare_child,
)
from fuzz.mutations import values

BANDS = 5
_KEY = "cuvis_ai"
_FILES = 2
"""Shares of a sound division."""


def graph() -> Graph:
    """Return the graph that the statistics are of, unfitted: three nodes that one pass fits."""
    made = Graph("fuzzed")
    norm = made.add_node(MinMaxNormalizer())
    made.add_node(RXGlobal(), parent=made.add_node(TrainablePCA(3), parent=norm))
    return made


_SHARES = st.sampled_from(([1, 1], [1, 10**12], [2, 1], [0, 0], [-1, 2], [2, 2], [1], [True, 2]))


@st.composite
def _bytes(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content) - 1))
    if draw(st.booleans()):
        return content[:at]
    return content[:at] + draw(st.binary(min_size=1, max_size=8)) + content[at + 1 :]


@st.composite
def _header(draw: st.DrawFn, content: bytes) -> bytes:
    """Change what the file says besides its tensors."""
    header = _said(content)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = header
        key = draw(st.sampled_from(sorted(place)))
        while isinstance(place[key], dict) and place[key] and draw(st.booleans()):
            place, key = place[key], draw(st.sampled_from(sorted(place[key])))
        if draw(st.booleans()):
            place[key] = draw(values)
        else:
            place.pop(key)
        if not header:
            break
    return save(load(content), {_KEY: json.dumps(header)})


@st.composite
def _tensors(draw: st.DrawFn, content: bytes) -> bytes:
    """Change numbers, shapes and kinds of tensors."""
    tensors = load(content)
    name = draw(st.sampled_from(sorted(tensors)))
    value = tensors.pop(name)
    change = draw(st.sampled_from(("none", "fill", "shape", "kind", "name", "more")))
    if change == "fill":
        number = draw(st.sampled_from((float("nan"), float("inf"), -1e300, 0.0, -1.0, 1e-320)))
        whole = draw(st.sampled_from((0, 1, -1, 2**62)))
        tensors[name] = torch.full_like(value, number if value.is_floating_point() else whole)
    elif change == "shape":
        tensors[name] = torch.zeros(draw(st.lists(st.integers(0, 6), max_size=3)), dtype=value.dtype)
    elif change == "kind":
        tensors[name] = value.to(
            draw(st.sampled_from((torch.float16, torch.int64, torch.bool, torch.float32)))
        )
    elif change == "name":
        tensors[draw(st.sampled_from(("", "/", "a/b/c", "nobody/mean", name + ".0")))] = value
    elif change == "more":
        tensors |= {name: value, f"{name}.more": value.clone()}
    return save(tensors, {_KEY: json.dumps(_said(content))})


@st.composite
def _share(draw: st.DrawFn, content: bytes) -> bytes:
    """Change which share it is."""
    return save(load(content), {_KEY: json.dumps(_said(content) | {"shard": draw(_SHARES)})})


MUTATIONS = {"share": _share, "bytes": _bytes, "header": _header, "tensors": _tensors}


def _said(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    said: dict[str, Any] = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_KEY])
    return said


def _fitted(paths: list[Path]) -> Graph:
    made = graph()
    try:
        made.fit_from(paths)
    except BaseException:
        fitted = [node.label for node in made._members.in_order().values() if node.fitted]
        assert not fitted, f"left fitted: {fitted}"
        raise
    return made


def _improper(err: Exception) -> str | None:
    causes = "".join(traceback.format_exception(err))
    return f"a failed assumption: {causes[-1500:]}" if "left fitted" in causes else None


def _unusable(made: Graph) -> str | None:
    try:
        made(torch.rand(1, BANDS, 2, 2))
    except (GraphError, NotFittedError):
        return None
    except Exception:  # whatever it is, it is what this program looks for
        return f"fitted, but: {traceback.format_exc()[-1500:]}"
    return None


_PROMISE = Promise((ArchiveError, GraphError), _improper, megabytes=200.0)


def _chunk(count: int, seed: int, sound: list[bytes], folder: Path) -> list[Outcome]:
    """Fit from mutated files, the first mutated and the others sound, in a process of its own."""
    paths = [folder / f"current-{seed}-{i}.safetensors" for i in range(len(sound))]
    for path, content in zip(paths[1:], sound[1:], strict=True):
        path.write_bytes(content)
    outcomes: list[Outcome] = []

    def take(file: tuple[str, bytes]) -> None:
        kind, content = file
        paths[0].write_bytes(content)
        given = paths[: 1 + len(outcomes) % len(paths)]  # alone, or beside sound ones
        outcomes.append(outcome_of(kind, partial(_fitted, given), _unusable, _PROMISE))
        if outcomes[-1].problem:
            (folder / f"case-{seed}-{len(outcomes)}.safetensors").write_bytes(content)

    files = st.one_of(*(st.tuples(st.just(kind), mutation(sound[0])) for kind, mutation in MUTATIONS.items()))
    each_example(seed, count, files, take)
    for path in paths:
        path.unlink()
    return outcomes


def _start(sound: list[bytes], folder: Path) -> None:
    torch.set_num_threads(1)
    prepare_child(partial(_fit_sound, sound, folder))


def _fit_sound(sound: list[bytes], folder: Path) -> None:
    paths = [folder / f"sound-{os.getpid()}-{i}.safetensors" for i in range(len(sound))]
    for path, content in zip(paths, sound, strict=True):
        path.write_bytes(content)
    _fitted(paths)
    for path in paths:
        path.unlink()


def fuzzed(count: int, seed: int, workers: int, folder: Path) -> list[Outcome]:
    """Fit from `count` mutated files; offending ones are left in the folder."""
    from cuvis_ai.data.array_cubes import ArrayCubes  # imports Lightning, which the children need not

    folder.mkdir(parents=True, exist_ok=True)
    data = ArrayCubes(torch.randn(4, 6, 5, BANDS, generator=torch.Generator().manual_seed(0)).numpy())
    paths = [folder / f"sound-{i}.safetensors" for i in range(1, _FILES + 1)]
    for i, path in enumerate(paths, 1):
        graph().sketch(data, path, shard=(i, _FILES))
    sound = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    calls = [
        (min(CHUNK, count - begun), 1000 * seed + begun // CHUNK, sound, folder)
        for begun in range(0, count, CHUNK)
    ]
    return in_children(_chunk, calls, _start, (sound, folder), workers)


if __name__ == "__main__":
    sys.exit(command(__doc__, "files of statistics", 10_000, fuzzed))
