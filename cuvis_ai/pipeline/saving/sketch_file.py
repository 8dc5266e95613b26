"""Files of the statistics of shares: safetensors, with what they are of as JSON beside the tensors."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from cuvis_ai.data.sources.read_scale import PlainScale, ReadScale
from cuvis_ai.errors import ArchiveError, GraphError
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.plain_types import misfit
from cuvis_ai.stats.sketch_record import Plain
from cuvis_ai.whole_file import write_whole

_KEY = "cuvis_ai"
_SEPARATOR = "/"


class _Header(TypedDict):
    """What a file says besides its tensors."""

    format: int
    graph: str
    shard: list[int]
    wavelengths: list[float] | None
    band_indices: list[int] | None
    scale: PlainScale | None
    numbers: dict[str, dict[str, int | float | bool]]


def write_sketches(
    path: Path, taken: dict[str, Plain], shard: tuple[int, int], graph: str, bands: TrainedBands
) -> Path:
    """Write statistics by node, and return the file.

    Args:
        path: the file.
        taken: state of the sketches by node.
        shard: (i, n).
        graph: the graph's checksum.
        bands: those of the data.
    """
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, dict[str, int | float | bool]] = {}
    for node, record in taken.items():
        numbers[node] = {}
        for name, value in record.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{node}{_SEPARATOR}{name}"] = value.clone()  # no two may share their memory
            else:
                numbers[node][name] = value
    header: _Header = {
        "format": 1, "graph": graph, "shard": list(shard),
        "wavelengths": None if bands.wavelengths is None else list(bands.wavelengths),
        "band_indices": None if bands.indices is None else list(bands.indices),
        "scale": None if bands.scale is None else bands.scale.plain(),
        "numbers": numbers,
    }  # fmt: skip
    write_whole(path, save(tensors, {_KEY: json.dumps(header)}))
    return path


def read_sketches(paths: Sequence[Path], graph: str) -> tuple[list[dict[str, Plain]], TrainedBands]:
    """Return the statistics of all shares in their order, and the bands of the data.

    Raises:
        ArchiveError: a file is damaged.
        GraphError: shares are missing or given twice, or of several graphs or bands.
    """
    found = [_read(path) for path in paths]
    for path, (header, _) in zip(paths, found, strict=True):
        if header["graph"] != graph:
            raise GraphError(
                f"{path}: expected statistics of this graph in its present state, got another's. Name the "
                "graph that they were taken with."
            )
    counts = {header["shard"][1] for header, _ in found}
    shares = sorted(header["shard"][0] for header, _ in found)
    # Their number first: a file may say any.
    if counts != {len(shares)} or shares != list(range(1, len(shares) + 1)):
        raise GraphError(
            f"fit_from: expected each share of one division once, got {shares} of {sorted(counts)}. Name the "
            "files of all shares."
        )
    bands = {str((one["wavelengths"], one["band_indices"], one["scale"])) for one, _ in found}
    if len(bands) != 1:
        raise GraphError("fit_from: expected shares of data with the same bands and scale, got several.")
    found.sort(key=lambda one: one[0]["shard"])
    first = found[0][0]
    scale = ReadScale.of_plain(first["scale"])
    return [record for _, record in found], TrainedBands.of(
        first["wavelengths"], first["band_indices"], scale
    )


def _read(path: Path) -> tuple[_Header, dict[str, Plain]]:
    try:
        with safe_open(path, framework="pt") as file:
            header: _Header = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, KeyError, ValueError, RecursionError) as err:
        raise ArchiveError(f"{path}: expected statistics that `sketch` wrote, got: {err!r:.200}.") from err
    if isinstance(header, dict):
        header.setdefault("scale", None)  # files of earlier versions have none
    if problem := misfit(header, _Header, "header"):
        raise ArchiveError(f"{path}: expected statistics that `sketch` wrote, got: {problem}")
    if header["format"] != 1 or len(header["shard"]) != 2:
        raise ArchiveError(f"{path}: expected statistics of format 1, got another. Update cuvis_ai.")
    record: dict[str, Plain] = {node: dict(numbers) for node, numbers in header["numbers"].items()}
    for name, tensor in tensors.items():
        node, _, key = name.partition(_SEPARATOR)
        record.setdefault(node, {})[key] = tensor
    return header, record
