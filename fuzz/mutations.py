"""What an attacker does to an archive; each function takes a random generator and the two members.

Here the manifest and the weights change; see `containers` for the zip and `grown` for whole graphs.

May import: `fuzz.sealing`, `fuzz.hostile`, `fuzz.containers`, `fuzz.grown`.
"""

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
from safetensors.torch import load, save

from fuzz.containers import cut_or_flipped, member_bytes, resealed_bytes, zip_structure
from fuzz.grown import grown
from fuzz.hostile import CLASSES, DTYPES, NAMES, SHAPES, TENSOR_TYPES, VALUES
from fuzz.sealing import Contents, with_header

Mutation = Callable[[random.Random, Contents], bytes]


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each place of a JSON tree as its container and key."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


def _value(rng: random.Random) -> Any:
    """Return a hostile value of its own, since a later change may reach into it."""
    return deepcopy(rng.choice(VALUES))


def manifest_tree(rng: random.Random, contents: Contents) -> bytes:
    """Values of the manifest exchanged, removed, added, doubled, moved."""
    manifest = contents.parsed()
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(manifest))
        container, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind <= 2:
            container[key] = _value(rng)
        elif kind == 3:
            del container[key]
        elif kind == 4 and isinstance(container, dict):
            container[rng.choice(["x", "eps", "parents", "trainable", *NAMES])] = _value(rng)
        elif kind == 5 and isinstance(container, list):
            container[key:key] = [container[key]] * rng.choice((1, 1, 2, 100))
        elif kind == 6:
            other, place = rng.choice(places)
            if place in other or isinstance(place, int):
                container[key] = json.loads(json.dumps(other[place])) if _within(other, place) else None
        elif kind == 7 and isinstance(container, list):
            rng.shuffle(container)
    return Contents(json.dumps(manifest).encode(), contents.weights).archive()


def _within(container: Any, key: Any) -> bool:
    return key in container if isinstance(container, dict) else key < len(container)


def manifest_fields(rng: random.Random, contents: Contents) -> bytes:
    """Names, classes, parents, arguments, bands and probe exchanged for hostile ones."""
    manifest = contents.parsed()
    outputs = (manifest["probe"] or {}).get("outputs")
    for _ in range(rng.choice((1, 1, 2))):
        entry = rng.choice(manifest["nodes"] + manifest["leaves"])
        kind = rng.randrange(9)
        if kind == 0:
            entry["class"] = rng.choice(CLASSES)
        elif kind == 1:
            entry["name"] = rng.choice([*NAMES, manifest["nodes"][0]["name"]])
        elif kind <= 4:
            names = [*entry["arguments"], "self", "n_components"]
            entry["arguments"][rng.choice(names)] = _value(rng)
        elif kind == 5:
            everyone = [node["name"] for node in manifest["nodes"]]
            entry["parents"] = rng.choices([*everyone, *NAMES], k=rng.randrange(4))
        elif kind == 6:
            manifest["probe"] = rng.choice(
                [
                    None,
                    {"channels": _value(rng), "outputs": outputs},
                    7,
                ]
            )
        elif kind == 7:
            listed = rng.choice(([], [_value(rng)], [400.0] * rng.choice((1, 7, 10_000)), deepcopy(VALUES)))
            manifest[rng.choice(("wavelengths", "band_indices"))] = listed
        else:
            manifest[rng.choice(("format", "name", "dtype", "versions"))] = rng.choice(
                [2, "1", 1.0, True, "float16", "float64", "complex64", *deepcopy(VALUES)]
            )
    return Contents(json.dumps(manifest).encode(), contents.weights).archive()


def manifest_text(rng: random.Random, contents: Contents) -> bytes:
    """JSON that no writer makes: doubled keys, depth, long numbers, half characters, other encodings."""
    text = contents.manifest.decode()
    key = rng.choice(list(contents.parsed()))
    depth = rng.choice((10, 500, 990, 10**4, 10**6))
    hostile = rng.choice(
        [
            "[" * depth + "]" * depth,
            '{"a":' * depth + "1" + "}" * depth,
            "[" + "[]," * rng.choice((10, 10**4, 6 * 10**5, 5 * 10**6)) + "[]]",
            "1" * rng.choice((20, 4000, 5000, 10**6)),
            "1e999999999",
            "0." + "3" * 10**5,
            '"\\ud800"',
            '"\\u0000"',
            "NaN",
            "-Infinity",
        ]
    )
    kind = rng.randrange(5)
    if kind <= 1:
        text = text.replace("{", f'{{"{key}": {hostile},', 1)
    elif kind == 2:
        text = text.rstrip()[:-1] + f', "{key}": {hostile}}}'
    elif kind == 3:
        return Contents(
            text.encode(rng.choice(("utf-16", "utf-8-sig", "utf-32"))), contents.weights
        ).archive()
    else:
        text = hostile
    return Contents(text.encode(), contents.weights).archive()


def weights_header(rng: random.Random, contents: Contents) -> bytes:
    """The header of the weights: shapes, types, offsets, its length, missing and surplus tensors."""
    header, values = contents.header()
    length = None
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(header) or ["x"])
        entry = header.setdefault(name, {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})
        kind = rng.randrange(8)
        if kind == 0:
            entry["shape"] = rng.choice(SHAPES)
        elif kind == 1:
            entry["dtype"] = rng.choice(DTYPES)
        elif kind == 2:
            entry["data_offsets"] = rng.choice(
                ([0, 0], [0, 2**64], [4, 0], [-1, 3], [0], "x", [0, len(values)])
            )
        elif kind == 3:
            del header[name]
        elif kind == 4:
            header[rng.choice(("nodes.x", "leaves.x", "other", "__metadata__", *NAMES))] = dict(entry)
        elif kind == 5:
            length = rng.choice((0, 1, 2**20, 10**8, 2**63, 2**64 - 1, -8))
        elif kind == 6:
            header |= {
                f"{i}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
                for i in range(rng.choice((10, 10**3, 5 * 10**4)))
            }
        else:
            values += rng.randbytes(rng.randrange(1, 9))
    weights = with_header(json.dumps(header).encode(), values, length)
    return Contents(contents.manifest, weights).archive()


def tensors(rng: random.Random, contents: Contents) -> bytes:
    """Sound weights of another shape, type or value than the graph has."""
    held = load(contents.weights)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(sorted(held))
        tensor = held[name]
        kind = rng.randrange(8)
        if kind == 0:
            shape = rng.choice(
                ((), (0,), (1,), (3,), (7,), (3, 7), (2, 7), (7, 7), (2, 0), (0, 0), (1, 1, 1), (0, 10**18))
            )
            held[name] = torch.zeros(shape)
        elif kind == 1:
            held[name] = tensor.to(rng.choice(TENSOR_TYPES))
        elif kind == 2 and tensor.dtype in (torch.float32, torch.float64):
            held[name] = torch.full_like(
                tensor, rng.choice((float("nan"), float("inf"), 0.0, -1.0, 3e38, 1e-45))
            )
        elif kind == 3:
            held[name] = torch.zeros(
                rng.choice((10**5, 2 * 10**6)), dtype=rng.choice((torch.uint8, torch.float32))
            )
        elif kind == 4:
            del held[name]
        elif kind == 5:
            held[rng.choice(("nodes.x", "x", "leaves.y.z", "nodes.trainable_pca.x"))] = torch.zeros(3)
        elif kind == 6 and tensor.ndim:
            held[name] = tensor[: rng.randrange(len(tensor) + 1)].clone()
        else:
            held[name] = tensor[None].clone()
        if not held:
            break
    manifest = contents.parsed()
    if rng.random() < 0.5:
        manifest["probe"] = None
    return Contents(json.dumps(manifest).encode(), save(held)).archive()


MUTATIONS: dict[str, tuple[Mutation, int]] = {
    "cut or flipped bytes": (cut_or_flipped, 4),
    "resealed bytes": (resealed_bytes, 8),
    "bytes of a member": (member_bytes, 8),
    "zip structure": (zip_structure, 10),
    "manifest, any value": (manifest_tree, 20),
    "manifest, hostile fields": (manifest_fields, 20),
    "manifest, hostile text": (manifest_text, 2),
    "header of the weights": (weights_header, 8),
    "tensors": (tensors, 12),
    "grown graphs": (grown, 8),
}
"""Each kind with how often it is taken."""


def mutated(rng: random.Random, seeds: list[Contents]) -> tuple[str, bytes]:
    """Return the kind of a random mutation, and the archive."""
    kinds = list(MUTATIONS)
    [kind] = rng.choices(kinds, [MUTATIONS[k][1] for k in kinds])
    return kind, MUTATIONS[kind][0](rng, rng.choice(seeds))
