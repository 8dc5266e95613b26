"""Untrusted archives: changed and sealed again, so that what is read after the seal is tried."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from cuvis_ai.errors import ArchiveError
from cuvis_ai.pipeline.graph import Graph
from fuzz.sealing import Contents

Change = Callable[[dict[str, Any]], object]


def loaded(archive: bytes, tmp_path: Path) -> Graph:
    path = tmp_path / "untrusted.zip"
    path.write_bytes(archive)
    return Graph.load_from_file(path)


def refused(archive: bytes, tmp_path: Path) -> str:
    with pytest.raises(ArchiveError, match=r"untrusted\.zip") as caught:
        loaded(archive, tmp_path)
    return str(caught.value)


def changed(contents: Contents, change: Change) -> bytes:
    """Return the archive with another manifest."""
    manifest = contents.parsed()
    change(manifest)
    return Contents(json.dumps(manifest).encode(), contents.weights).archive()


def with_tensors(contents: Contents, **tensors: torch.Tensor) -> bytes:
    """Return the archive with other tensors of the PCA, and without the probe that would notice."""
    held = load(contents.weights) | {f"nodes.trainable_pca.{name}": value for name, value in tensors.items()}
    manifest = contents.parsed() | {"probe": None}
    return Contents(json.dumps(manifest).encode(), save(held)).archive()


def node(**changes: Any) -> Change:
    return lambda manifest: manifest["nodes"][1].update(changes)


def argument(**changes: Any) -> Change:
    return lambda manifest: manifest["nodes"][1]["arguments"].update(changes)
