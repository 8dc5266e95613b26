"""Saved graphs: a zip of `manifest.json` and `weights.safetensors`, and nothing else.

No pickle and no code: the manifest names classes and their plain arguments, see `class_path`.
Nothing in a file is trusted: all of it is checked, by the types below, before anything is made. How
the zip is written and read is in `sealed_zip`.
"""

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from cuvis_ai import __version__
from cuvis_ai.data.sources.read_scale import PlainScale, ReadScale
from cuvis_ai.errors import DISTRIBUTION, ArchiveError, ConfigError, escaped
from cuvis_ai.leaf import Leaf
from cuvis_ai.node.base import Node, class_of, hyperparameters
from cuvis_ai.node.base.state import REST
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.saving import sealed_zip
from cuvis_ai.pipeline.saving.class_path import class_path, resolve
from cuvis_ai.pipeline.saving.wrapped_module import made, written
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.plain_types import argument_misfits, misfit
from cuvis_ai.plugins import NODES

FORMAT = 1
HOMES = (
    "cuvis_ai.anomaly",
    "cuvis_ai.node",
    "cuvis_ai.normalization",
    "cuvis_ai.spatial",
    "cuvis_ai.target",
    "cuvis_ai.training",
)
"""Folders of our nodes and leaves; a file can have no other module of ours imported: some take seconds."""
CLOSED = ("cuvis_ai.training.engine", "cuvis_ai.training.monitors")
"""Folders in these that hold neither."""

# Parsed, both take some fifty times their size.
_LARGEST_MANIFEST = 2**20
_LARGEST_HEADER = 2**20
_MOST_PARTS = 1000

_Node = TypedDict("_Node", {"name": str, "class": str, "arguments": dict[str, Any], "parents": list[str]})
_Leaf = TypedDict("_Leaf", {"name": str, "class": str, "arguments": dict[str, Any], "parent": str})


class _Probe(TypedDict):
    channels: int
    outputs: dict[str, list[float]]


class _Manifest(TypedDict):
    format: int
    versions: dict[str, str]
    name: str
    dtype: Literal["float32", "float64"]
    nodes: list[_Node]
    leaves: list[_Leaf]
    wavelengths: list[float] | None
    band_indices: list[int] | None
    scale: PlainScale | None
    probe: _Probe | None


@dataclass
class Saved:
    """What a file holds.

    Attributes:
        name: the graph's name.
        dtype: the dtype of the weights.
        nodes: by name, in topological order, each with its parents' names.
        leaves: by name, each with its parent's name.
        weights: the graph's state.
        bands: the bands of the training data, as far as known.
        probe: input shape and outputs of a fixed input, to notice a graph that computes otherwise.
    """

    name: str
    dtype: torch.dtype
    nodes: dict[str, tuple[Node, tuple[str, ...]]]
    leaves: dict[str, tuple[Leaf, str]]
    weights: dict[str, Tensor]
    bands: TrainedBands
    probe: Mapping[str, Any] | None


def packed(saved: Saved) -> bytes:
    """Return the bytes of a file."""
    nodes = [
        {"name": name, **_described(node), "parents": list(parents)}
        for name, (node, parents) in saved.nodes.items()
    ]
    leaves = [
        {"name": name, **_described(leaf), "parent": parent} for name, (leaf, parent) in saved.leaves.items()
    ]
    manifest = {
        "format": FORMAT,
        "versions": {
            "cuvis_ai": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "name": saved.name,
        "dtype": str(saved.dtype).removeprefix("torch."),
        "nodes": nodes,
        "leaves": leaves,
        "wavelengths": saved.bands.wavelengths,
        "band_indices": saved.bands.indices,
        "scale": None if saved.bands.scale is None else saved.bands.scale.plain(),
        "probe": saved.probe,
    }
    try:
        text = json.dumps(manifest, indent=1, allow_nan=False).encode()
    except (TypeError, ValueError) as err:
        raise ArchiveError(
            f"graph `{saved.name}`: cannot be saved: {err}. Its name must be a text, its bands finite."
        ) from err
    contents = (text, _packed_weights(saved.weights))
    _check_sizes(*contents, len(nodes) + len(leaves))
    return sealed_zip.sealed(contents)


def _packed_weights(weights: Mapping[str, Tensor]) -> bytes:
    try:
        # Cloned, since safetensors takes no two tensors that share their memory.
        return save_tensors({key: t.detach().cpu().contiguous().clone() for key, t in weights.items()})
    except (SafetensorError, KeyError, ValueError, RuntimeError) as err:
        raise ArchiveError(f"weights: cannot be saved: {err}.") from err


def _described(module: Node | Leaf) -> dict[str, Any]:
    arguments = written(hyperparameters(module), module.label)
    try:
        plain = json.loads(json.dumps(arguments, allow_nan=False))
    except (TypeError, ValueError) as err:
        raise ArchiveError(
            f"{module.label}: cannot be saved: {err}. Constructor arguments must be finite numbers, strings, "
            f"booleans, None, or lists and dicts of these."
        ) from err
    cls = class_of(module)
    if misfits := argument_misfits({**plain, **_modules_of(module)}, cls, module.label):
        raise ArchiveError("cannot be saved: " + " ".join(misfits))
    return {"class": class_path(cls), "arguments": arguments}


def _modules_of(module: nn.Module) -> dict[str, nn.Module]:
    """Return the arguments that are modules, which a file names by their class."""
    return {name: one for name, one in hyperparameters(module).items() if isinstance(one, nn.Module)}


def _check_sizes(manifest: bytes, weights: bytes, parts: int = 0) -> None:
    """Raise an `ArchiveError` if what has to be parsed or made is larger than any graph needs."""
    for what, size, most in (
        ("bytes of manifest", len(manifest), _LARGEST_MANIFEST),
        ("bytes of the weights' header", int.from_bytes(weights[:8], "little"), _LARGEST_HEADER),
        ("nodes and leaves", parts, _MOST_PARTS),
    ):
        if size > most:
            raise ArchiveError(f"expected at most {most} {what}, got {size}.")


def load(path: StrPath, allow: Sequence[str] = ()) -> Saved:
    """Read a file; nothing in it is trusted, and nothing is made before all of it is checked.

    Raises:
        ArchiveError: the file is damaged, of a newer format, or names a class that is not allowed.
        FileNotFoundError: there is none.
    """
    try:
        contents = sealed_zip.read(Path(path))
        _check_sizes(*contents)
        manifest = _checked(_parsed(contents[0]))
        _check_sizes(*contents, len(manifest["nodes"]) + len(manifest["leaves"]))
        return _built(manifest, _weights(contents[1]), allow)
    except (ArchiveError, ConfigError) as err:
        raise ArchiveError(f"{path}: {shortened(err)}") from err


def shortened(err: Exception) -> str:
    """Return an error's message on an untrusted file: neither long nor unprintable."""
    text = escaped(str(err))
    return text if len(text) <= 1000 else f"{text[:1000]} …"


def _parsed(text: bytes) -> object:
    try:
        manifest = json.loads(text.decode(), object_pairs_hook=_without_doubles, parse_constant=_refused)
        json.dumps(manifest, ensure_ascii=False).encode()  # half a character can be written as an escape
    except (ValueError, RecursionError) as err:
        raise ArchiveError(f"expected a manifest in JSON, got a damaged one: {err}.") from err
    return manifest


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _weights(content: bytes) -> dict[str, Tensor]:
    try:
        return load_tensors(content)
    # The others come from torch: dtypes that it lacks, sizes beyond 64 bits.
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OverflowError) as err:
        raise ArchiveError(f"expected weights in safetensors, got damaged ones: {err}.") from err


def _checked(manifest: object) -> _Manifest:
    """Return a manifest that has the form of this format."""
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version != FORMAT:
        raise ArchiveError(
            f"format: expected {FORMAT}, got {version}, written by another version of cuvis_ai. "
            f"Upgrade with `pip install -U {DISTRIBUTION}`."
        )
    if isinstance(manifest, dict):
        manifest = {"scale": None, **manifest}  # files of earlier versions have none
    if problem := misfit(manifest, _Manifest, "manifest"):
        raise ArchiveError(f"the manifest does not describe a graph: {problem}")
    checked: _Manifest = manifest  # type: ignore[assignment]  # as `misfit` has seen
    names = Counter(entry["name"] for entry in (*checked["nodes"], *checked["leaves"]))
    if doubled := [name for name, count in names.items() if count > 1]:
        raise ArchiveError(f"the manifest does not describe a graph: `{doubled[0]}` is given twice.")
    return checked


def _built(manifest: _Manifest, weights: dict[str, Tensor], allow: Sequence[str]) -> Saved:
    nodes = {n["name"]: (_made("node", n, Node, allow), tuple(n["parents"])) for n in manifest["nodes"]}
    leaves = {n["name"]: (_made("leaf", n, Leaf, allow), n["parent"]) for n in manifest["leaves"]}
    return Saved(
        name=manifest["name"],
        dtype=getattr(torch, manifest["dtype"]),
        nodes=nodes,
        leaves=leaves,
        weights=weights,
        bands=TrainedBands.of(
            manifest["wavelengths"], manifest["band_indices"], ReadScale.of_plain(manifest["scale"])
        ),
        probe=manifest["probe"],
    )


def _made(kind: str, entry: Mapping[str, Any], base: type[Any], allow: Sequence[str]) -> Any:
    where, arguments = f"{kind} `{entry['name']}`", entry["arguments"]
    group = NODES if base is Node else None
    cls = resolve(entry["class"], (base,), allow, ours=HOMES, closed=CLOSED, group=group)
    arguments = made(cls, arguments, allow, where)
    if misfits := argument_misfits(arguments, cls, where):
        raise ArchiveError(" ".join(misfits))
    try:
        return cls(**arguments)
    except (
        Exception
    ) as err:  # untrusted arguments to any constructor: whatever it raises, they do not suit it
        raise ArchiveError(f"{where}: {type(err).__name__}: {err}") from err


def check_weights(weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raise an `ArchiveError` unless the weights have the names and types of a graph's state."""
    # Files of before there were rests have none.
    needed = {name for name in state if not name.endswith(REST)}
    missing, surplus = needed - set(weights), set(weights) - set(state)
    if missing or surplus:
        listed = {"missing": sorted(missing), "surplus": sorted(surplus)}
        raise ArchiveError(
            "weights: " + "; ".join(f"{k}: {', '.join(v)}" for k, v in listed.items() if v) + "."
        )
    for name, tensor in weights.items():
        if tensor.dtype != state[name].dtype:
            raise ArchiveError(f"weights: {name}: expected {state[name].dtype}, got {tensor.dtype}.")
