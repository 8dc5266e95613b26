"""Graphs that were never trained: random nodes with weights that fit each other, often of absurd sizes.

A small file can ask for much: a decoder composed with a projection is a matrix of channels × channels,
nodes that read two others double paths and channels at each step.
"""

import json
from math import prod
from random import Random
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from fuzz.sealing import Contents

Kind = tuple[str, dict[str, Any], dict[str, tuple[int, ...]], int]
"""A node that could come next: its class, arguments, shapes of its tensors, and channels that leave it."""

_LARGEST = 2_000_000
"""Numbers in all tensors of a file."""
_LEAVES: list[tuple[str, dict[str, Any]]] = [
    ("metrics:ScoreStatisticsMetric", {}),
    ("metrics:ExplainedVarianceMetric", {}),
    ("losses:OrthogonalityLoss", {"weight": 1.0}),
    ("visualizations:SpectraPlot", {"log_frequency": 1}),
]


def grown(rng: Random, contents: Contents) -> bytes:
    """Return a sealed archive of such a graph; of the seed only the form is used."""
    bands = rng.choice((1, 2, 3, 3, 7, 7, 7, 61, 500, 5_000, 40_000, 200_000))
    size = rng.choice((*6 * [1, 2, 3, 4, 6], 30, 300, 3000))
    channels: dict[str, int] = {}
    encoders: dict[str, int] = {}
    weights: dict[str, Tensor] = {}
    nodes: list[dict[str, Any]] = []
    for i in range(size):
        name, parents = f"n{i}", [*channels][-rng.choice((1, 1, 2, 2, 3)) :]
        entering = sum(channels[parent] for parent in parents) or bands
        # In a graph of many nodes the first alone has weights worth mentioning.
        most = _LARGEST // size if size <= 6 or not i else 100
        kinds = _kinds(rng, entering, min(bands, 500), encoders)
        path, arguments, shapes, channels[name] = rng.choice([k for k in kinds if _size(k) <= most])
        if "n_components" in arguments:
            encoders[name] = entering
        nodes.append({"name": name, "class": f"cuvis_ai.{path}", "arguments": arguments, "parents": parents})
        weights |= {f"nodes.{name}.{key}": _tensor(key, shape) for key, shape in shapes.items()}
    leaves = []
    for i in range(rng.choice((0, 0, 0, 1, 3, 50))):
        path, arguments = rng.choice(_LEAVES)
        parent = rng.choice([*channels, "nobody"])
        leaves.append(
            {"name": f"l{i}", "class": f"cuvis_ai.training.{path}", "arguments": arguments, "parent": parent}
        )
    probe = {"channels": rng.choice((bands, 10**9)), "outputs": {name: [0.0]}}
    manifest = {**contents.parsed(), "nodes": nodes, "leaves": leaves, "probe": rng.choice((None, probe))}
    return Contents(json.dumps(manifest).encode(), save(weights)).archive()


def _kinds(rng: Random, c: int, m: int, encoders: dict[str, int]) -> list[Kind]:
    """Return nodes that take c channels, and may follow m channels or decode for an encoder."""
    k, out = rng.choice((1, 2, 3)), rng.choice((1, 100, max(1, _LARGEST // (8 * c))))
    minmax, rx = "normalization.normalization:MinMaxNormalizer", "anomaly.rx_detector:RXGlobal"
    projection = {"components": (k, c), "mean": (c,), "explained_variance": (k,), "total_variance": (1,)}
    statistics = {"mu": (c,), "cov": (c, c), "whitening": (1, c)}
    kinds: list[Kind] = [
        (minmax, {"use_running_stats": False}, {"running_min": (0,), "running_max": (0,)}, c),
        (minmax, {}, {"running_min": (c,), "running_max": (c,)}, c),
        ("node.pca:TrainablePCA", {"n_components": k}, projection, k),
        (rx, {"eps": 1e-3}, statistics | {"upstream_mean": (2, 0), "upstream_cov": (2, 0, 0)}, 1),
        (rx, {"stats": "follow"}, statistics | {"upstream_mean": (2, m), "upstream_cov": (2, m, m)}, 1),
    ]
    for name in rng.sample([*encoders], min(1, len(encoders))):
        decoder = {"weight": (out, c), "center": (c,), "bias": (out,)}
        kinds.append(("node.decoder:PCADecoder", {"tied_to": name}, {}, encoders[name]))
        kinds.append(("node.decoder:LinearDecoder", {"encoder": name}, decoder, out))
    return kinds


def _size(kind: Kind) -> int:
    return sum(map(prod, kind[2].values()))


def _tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return centres of 0, identities as covariances, and 1 for all the rest."""
    if name in ("cov", "upstream_cov"):
        return torch.eye(shape[-1]).expand(shape).contiguous()
    return torch.full(shape, float(name not in ("mean", "mu", "center", "bias", "running_min")))
