"""Saved graphs: a zip of `manifest.json` and `weights.safetensors`, and nothing else.

No pickle and no code: the manifest names classes and their plain arguments, see `class_path`. The
members are stored uncompressed, so a file cannot unpack to more than its size, and the zip's
comment holds the SHA-256 of all bytes before it, so no changed byte goes unnoticed. Files are
written beside their target and moved onto it, so an old file stays whole until the new one is.

May import: `types`, `errors`, `node.base`, `training.leaf`, `pipeline.class_path`.
"""

import hashlib
import io
import json
import os
import platform
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from cuvis_ai import __version__
from cuvis_ai.errors import ArchiveError, ConfigError
from cuvis_ai.node.base import Node, class_of, hyperparameters
from cuvis_ai.pipeline.bands import Bands
from cuvis_ai.pipeline.class_path import class_path, resolve
from cuvis_ai.training.leaf import Leaf

FORMAT = 1
_MEMBERS = ("manifest.json", "weights.safetensors")
_SEAL = b"sha256="
_DIGEST_LENGTH = 64
_LARGEST_MANIFEST = 2**24


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
    bands: Bands = field(default_factory=Bands)
    probe: dict[str, Any] | None = field(default=None)


def save(path: str | Path, saved: Saved) -> None:
    """Write a file, atomically."""
    weights = {key: tensor.detach().cpu().contiguous() for key, tensor in saved.weights.items()}
    manifest = {
        "format": FORMAT,
        "versions": {
            "cuvis_ai": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "name": saved.name,
        "dtype": str(saved.dtype).removeprefix("torch."),
        "nodes": [
            {"name": name, **_described(node), "parents": list(parents)}
            for name, (node, parents) in saved.nodes.items()
        ],
        "leaves": [
            {"name": name, **_described(leaf), "parent": parent}
            for name, (leaf, parent) in saved.leaves.items()
        ],
        "wavelengths": saved.bands.wavelengths,
        "band_indices": saved.bands.indices,
        "probe": saved.probe,
    }
    contents = (json.dumps(manifest, indent=1).encode(), save_tensors(weights))
    _write_atomically(Path(path), _sealed(contents))


def _described(module: Node | Leaf) -> dict[str, Any]:
    arguments = hyperparameters(module)
    try:
        json.dumps(arguments)
    except TypeError as err:
        raise ArchiveError(
            f"{module.label}: cannot be saved: {err}. Constructor arguments must be numbers, strings, "
            f"booleans, None, or lists and dicts of these."
        ) from err
    return {"class": class_path(class_of(module)), "arguments": arguments}


def _sealed(contents: Sequence[bytes]) -> bytes:
    """Return the bytes of a zip whose comment holds the digest of all that precedes the digest."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, content in zip(_MEMBERS, contents, strict=True):
            # A fixed date: the same graph gives the same bytes.
            file.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
        file.comment = _SEAL + b"0" * _DIGEST_LENGTH
    body = buffer.getvalue()[:-_DIGEST_LENGTH]
    return body + hashlib.sha256(body).hexdigest().encode()


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load(path: str | Path, allow: Sequence[str] = ()) -> Saved:
    """Read a file; nothing in it is trusted, and nothing is made before all of it is checked.

    Raises:
        ArchiveError: the file is damaged, of a newer format, or names a class that is not allowed.
        FileNotFoundError: there is none.
    """
    manifest_bytes, weight_bytes = _members(Path(path))
    try:
        manifest = json.loads(manifest_bytes)
        weights = load_tensors(weight_bytes)
    except (ValueError, RecursionError, SafetensorError) as err:
        raise ArchiveError(f"{path}: expected a manifest and weights, got damaged ones: {err}.") from err
    try:
        return _built(manifest, weights, allow)
    except ConfigError as err:
        raise ArchiveError(f"{path}: {err}") from err
    except (KeyError, TypeError, AttributeError, ValueError) as err:
        if isinstance(err, ArchiveError):
            raise
        raise ArchiveError(
            f"{path}: the manifest does not describe a graph: {type(err).__name__}: {err}."
        ) from err


def _members(path: Path) -> tuple[bytes, bytes]:
    content = path.read_bytes()
    body, digest = content[:-_DIGEST_LENGTH], content[-_DIGEST_LENGTH:]
    if not body.endswith(_SEAL) or hashlib.sha256(body).hexdigest().encode() != digest:
        raise ArchiveError(
            f"{path}: expected a file written by `graph.save_to_file`, whole and unchanged; its checksum "
            f"does not match ({len(content)} bytes). Copy or save it again."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            infos = file.infolist()
            names = tuple(info.filename for info in infos)
            if names != _MEMBERS:
                raise ArchiveError(f"{path}: expected the members {_MEMBERS}, got {names}.")
            if any(
                info.compress_type != zipfile.ZIP_STORED or info.file_size > len(content) for info in infos
            ):
                raise ArchiveError(f"{path}: expected members that are stored uncompressed.")
            if infos[0].file_size > _LARGEST_MANIFEST:
                raise ArchiveError(f"{path}: the manifest is larger than {_LARGEST_MANIFEST} bytes.")
            return file.read(infos[0]), file.read(infos[1])
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError) as err:
        raise ArchiveError(f"{path}: not a readable zip file: {err}.") from err


def _built(manifest: Mapping[str, Any], weights: dict[str, Tensor], allow: Sequence[str]) -> Saved:
    if manifest["format"] != FORMAT:
        raise ArchiveError(
            f"format: expected {FORMAT}, got {manifest['format']!r}, written by cuvis_ai "
            f"{manifest['versions']['cuvis_ai']}. Upgrade with `pip install -U cuvis_ai`."
        )
    dtype = {"float32": torch.float32, "float64": torch.float64}[manifest["dtype"]]
    nodes = {n["name"]: (_made(n, Node, allow), tuple(n["parents"])) for n in manifest["nodes"]}
    leaves = {n["name"]: (_made(n, Leaf, allow), n["parent"]) for n in manifest["leaves"]}
    bands = Bands.of(manifest["wavelengths"], manifest["band_indices"])
    return Saved(str(manifest["name"]), dtype, nodes, leaves, weights, bands, manifest["probe"])


def _made(description: Mapping[str, Any], base: type[Any], allow: Sequence[str]) -> Any:
    cls = resolve(description["class"], (base,), allow)
    return cls(**description["arguments"])
