"""What an attacker does to an archive, as Hypothesis strategies: bytes, zip, manifest, weights, graphs."""

import json
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import load, save

from fuzz.grown import grown
from fuzz.measuring import each_example
from fuzz.sealing import MEMBERS, Contents, resealed, with_header, zipped


def _any_of(words: str, *others: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([*words.split(), *others])


names = _any_of(
    "min_max_normalizer trainable_pca rx_global tied nobody keys train forward _modules parametrizations",
    *("é", "a b", "../x", "", "\x00", "\ud800", "x" * 100_000),
)
words = _any_of(
    "three hard follow quantile float16 float64 complex64 F64 F16 BF16 I64 U8 BOOL C64 F8_E4M3 F4 X"
)
numbers = (
    st.sampled_from([0, 1, 2, 3, -1, 0.5, -0.5, 1e308, 1e-320, 2**31, 2**63, 2**64, 10**12, 10**400])
    | st.floats()
)
values = st.recursive(
    st.none() | st.booleans() | numbers | numbers | names | words,
    lambda part: st.lists(part, max_size=5) | st.dictionaries(names, part, max_size=2),
    max_leaves=8,
) | st.builds(lambda n: [400.0] * n, st.sampled_from((7, 10_000)))
VALUES_OF: dict[Any, st.SearchStrategy[Any]] = {
    "class": _any_of(
        """cuvis_ai.node.pca:TrainablePCA cuvis_ai.node.decoder:PCADecoder cuvis_ai.node.decoder:LinearDecoder
        cuvis_ai.anomaly.rx_detector:RXGlobal cuvis_ai.anomaly.rx_logit_head:RXLogitHead
        cuvis_ai.training.losses:WeightedMultiLoss cuvis_ai.training.visualizations:PrecisionRecallPlot
        cuvis_ai.training.engine.trainer:Trainer cuvis_ai.node.base:Node cuvis_ai.node.pca:torch.load
        cuvis_ai.cli:main cuvis_ai.nowhere:X cuvis_ai:x cuvis_ai..node:X cuvis_ai.node.__init__:X
        cuvis_ai.node.pca:Affine cuvis_ai_evil.x:X os:system this:s antigravity:x :""",
        *("cuvis_ai." + "a" * 5000 + ":X", "cuvis_ai.node" + ".node" * 40 + ":X"),
    ),
    "name": names,
    "parents": st.lists(names, max_size=3),
    "parent": names,
    "probe": st.none(),
    "shape": st.lists(st.sampled_from((0, 1, 3, 7, -1, 10**18, 2**40, 2**63, 2**64)), max_size=3),
    "dtype": words,
    "data_offsets": st.lists(st.sampled_from((0, 4, 28, -1, 2**64)), min_size=2, max_size=2),
}
"""What is put in the place of a key's value, besides any other value."""


def _bytes(content: bytes, start: int = 0) -> st.SearchStrategy[bytes]:
    """Cut, overwrite and insert bytes, none before a start."""

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        result = content
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(min(start, len(result)), len(result)))
            new = draw(st.binary(max_size=8))
            cut = draw(st.sampled_from((len(new), len(new), 0, 1, 100, len(result))))
            result = result[:at] + new + result[at + cut :]
        return result

    return changed()


@st.composite
def _member(draw: st.DrawFn, contents: Contents) -> bytes:
    """Bytes of the manifest, or of the weights' header and its length, change inside a zip that is sound."""
    manifest, weights = contents.manifest, contents.weights
    if draw(st.booleans()):
        return Contents(draw(_bytes(manifest)), weights).archive()
    end = draw(st.sampled_from((8, len(weights) - len(contents.header()[1]))))
    return Contents(manifest, draw(_bytes(weights[:end])) + weights[end:]).archive()


@st.composite
def _zip(draw: st.DrawFn, contents: Contents) -> bytes:
    """Surplus, doubled, renamed, linked, compressed, encrypted and misdeclared members."""
    stored, deflated = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    method = draw(st.sampled_from((*9 * [stored], deflated, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    members: list[Any] = [*zip(MEMBERS, (contents.manifest, contents.weights), strict=True)]
    if draw(st.booleans()):
        info = zipfile.ZipInfo(draw(_any_of("../../evil /etc/passwd ..\\evil C:evil a/b/ é", *MEMBERS)))
        info.external_attr = draw(st.sampled_from((0, 0, stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO))) << 16
        info.extra = draw(st.sampled_from((b"", b"", struct.pack("<HHQQ", 1, 16, 2**40, 2**40), b"x" * 9)))
        bomb = bytes(10**8 if method == deflated else 1000)
        new = (info, draw(st.sampled_from((contents.manifest, contents.weights, bomb))))
        at = draw(st.integers(0, 2))
        members[at : at + draw(st.integers(0, 2))] = draw(st.sampled_from(([new], [new], [])))
    members += [(f"{i}", b"") for i in range(draw(st.sampled_from((*30 * [0], 100, 2000))))]
    archive = draw(st.sampled_from((b"", b"", b"", b"x" * 1000))) + zipped(members, method)
    for _ in range(draw(st.integers(0, 2))):  # flags, methods, sizes, lengths, offsets, counts
        mark = draw(st.sampled_from((b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06")))
        at = archive.rfind(mark) + draw(st.integers(4, 44))
        archive = archive[:at] + draw(st.binary(min_size=2, max_size=2)) + archive[at + 2 :]
    return resealed(archive)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the places of a JSON tree as container and key; of a list of numbers the first."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        if not (key and isinstance(tree, list) and isinstance(tree[key], int | float)):
            yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


@st.composite
def _tree(draw: st.DrawFn, tree: dict[str, Any]) -> bytes:
    """Values of a JSON tree exchanged, removed, repeated, added, moved."""
    for _ in range(draw(st.integers(1, 2))):
        places = [*_places(tree)]
        container, key = places[draw(st.integers(0, len(places) - 1))]
        kind = draw(st.sampled_from((*4 * ["exchange"], "remove", "repeat or add", "move")))
        if kind == "exchange":
            container[key] = draw(VALUES_OF.get(key, values) | values)
        elif kind == "remove":
            del container[key]
        elif kind == "move":
            source, place = places[draw(st.integers(0, len(places) - 1))]
            container[key] = deepcopy(source[place])
        elif isinstance(container, list):
            container[key:key] = [container[key]] * draw(st.sampled_from((1, 2, 100)))
        else:
            container[draw(names)] = draw(values)
        if not tree:
            break
    return json.dumps(tree).encode()


@st.composite
def _fields(draw: st.DrawFn, contents: Contents) -> bytes:
    """A class, name, parent, argument, probe or band of the manifest exchanged for one of the same type."""
    manifest = contents.parsed()
    entries = manifest["nodes"] + manifest["leaves"]
    entry = entries[draw(st.integers(0, len(entries) - 1))]
    argument = draw(_any_of("self n_components", *entry["arguments"]))
    present = names | st.sampled_from([node["name"] for node in manifest["nodes"]])
    places: list[tuple[dict[str, Any], str, st.SearchStrategy[Any]]] = [
        *2 * [(entry, "class", VALUES_OF["class"])],
        *4 * [(entry["arguments"], argument, values)],
        (entry, "name", present),
        (entry, "parents", st.lists(present, max_size=3))
        if "parents" in entry
        else (entry, "parent", present),
        (manifest, "name", names),
        (manifest, "probe", st.fixed_dictionaries({"channels": numbers, "outputs": st.just({})}) | st.none()),
        (manifest, "wavelengths", st.lists(numbers, max_size=7)),
    ]
    container, key, strategy = places[draw(st.integers(0, len(places) - 1))]
    container[key] = draw(strategy)
    return Contents(json.dumps(manifest).encode(), contents.weights).archive()


@st.composite
def _text(draw: st.DrawFn, contents: Contents) -> bytes:
    """A manifest that no writer makes: doubled keys, depth, long numbers, half characters, encodings."""
    text, key = contents.manifest.decode(), draw(st.sampled_from([*contents.parsed()]))
    n = draw(st.sampled_from((10, 500, 990, 5000, 10**4, 10**6)))
    forms = ("[" * n + "]" * n, '{"a":' * n + "1" + "}" * n, "[" + "[]," * n + "[]]", "1" * n, "0." + "3" * n)
    hostile = draw(st.sampled_from((*forms, "1e999999999", '"\\ud800"', '"\\u0000"', "NaN", "-Infinity")))
    first, last = text.replace("{", f'{{"{key}": {hostile},', 1), f'{text[:-2]}, "{key}": {hostile}}}'
    encoded = (text.encode(encoding) for encoding in ("utf-16", "utf-8-sig", "utf-32"))
    new = draw(st.sampled_from((first.encode(), last.encode(), hostile.encode(), *encoded)))
    return Contents(new, contents.weights).archive()


@st.composite
def _header(draw: st.DrawFn, contents: Contents) -> bytes:
    """The header of the weights: shapes, types, offsets, its length, missing and surplus tensors."""
    header, numbers = contents.header()
    surplus = range(draw(st.sampled_from((*30 * [0], 10, 20_000))))
    header |= {f"{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in surplus}
    text = json.dumps(header).encode() if surplus else draw(_tree(header))
    length = draw(st.sampled_from((*9 * [None], 0, 1, 2**20, 10**8, 2**63, 2**64 - 1)))
    after = draw(st.sampled_from((*9 * [b""], b"x")))
    return Contents(contents.manifest, with_header(text, numbers + after, length)).archive()


@st.composite
def _tensors(draw: st.DrawFn, contents: Contents) -> bytes:
    """Sound weights of another shape, type or value than the graph has."""
    held, manifest = load(contents.weights), contents.parsed()
    for _ in range(draw(st.integers(1, 2))):
        name = draw(_any_of("nodes.x x leaves.y.z", *sorted(held)))
        tensor = held.pop(name, torch.zeros(3))
        shape, types = (
            tuple(tensor.shape),
            (torch.bfloat16, torch.int64, torch.bool, torch.float64, torch.complex64),
        )
        other = (
            (),
            (0,),
            (1,),
            (3,),
            (3, 7),
            (2, 7),
            (2, 0),
            (1, *shape),
            shape[:-1],
            (0, 10**18),
            (2 * 10**6,),
        )
        kind = draw(_any_of("removed shape type value value"))
        if kind == "shape":
            held[name] = torch.zeros(draw(st.sampled_from(other)))
        elif kind == "type":
            held[name] = tensor.to(draw(st.sampled_from(types)))
        elif kind == "value":
            held[name] = torch.full(
                shape, draw(st.sampled_from((torch.nan, torch.inf, 0.0, -1.0, 3e38, 1e-45)))
            )
    if draw(st.booleans()):
        manifest["probe"] = None
    return Contents(json.dumps(manifest).encode(), save(held)).archive()


MUTATIONS: dict[str, tuple[int, Callable[[Contents], st.SearchStrategy[bytes]]]] = {
    "cut or flipped bytes": (4, lambda c: _bytes(c.archive())),
    "resealed bytes": (4, lambda c: _bytes(c.archive()).map(resealed)),
    "resealed directory": (4, lambda c: _bytes(c.archive(), len(c.archive()) - 300).map(resealed)),
    "bytes of a member": (8, _member),
    "zip structure": (10, _zip),
    "fields of the manifest": (22, _fields),
    "values of the manifest": (
        18,
        lambda c: _tree(c.parsed()).map(lambda m: Contents(m, c.weights).archive()),
    ),
    "text of the manifest": (2, _text),
    "header of the weights": (8, _header),
    "tensors": (12, _tensors),
    "grown graphs": (8, lambda c: st.builds(grown, st.randoms(use_true_random=True), st.just(c))),
}
"""Each kind with its share in percent."""


def each_mutated(seed: int, count: int, seeds: list[Contents], take: Callable[[str, bytes], None]) -> None:
    """Call `take` with the kind and the bytes of some `count` mutated archives, which the seed decides."""
    for kind, (share, mutation) in MUTATIONS.items():
        archives = st.sampled_from(seeds).flatmap(mutation)
        each_example(seed, max(1, count * share // 100), archives, partial(take, kind))
