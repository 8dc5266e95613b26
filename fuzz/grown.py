"""Graphs that were never trained: random nodes with weights that fit each other, often of absurd sizes.

A small file can ask for much: a decoder behind a projection folds into a matrix of channels × channels,
nodes that read two others double paths and channels at each step.

May import: `fuzz.sealing`.
"""

import json
import random
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from fuzz.sealing import Contents

Made = tuple[dict[str, Any], dict[str, Tensor], int]
"""A node's entry in the manifest, its tensors by name, and the channels that leave it."""

_LARGEST = 2_000_000
"""Numbers in one tensor."""


def _entry(path: str, **arguments: Any) -> dict[str, Any]:
    return {"class": f"cuvis_ai.{path}", "arguments": arguments}


def _minmax(c: int) -> Made:
    entry = _entry("normalization.normalization:MinMaxNormalizer", eps=1e-6, use_running_stats=True)
    return entry, {"running_min": torch.zeros(c), "running_max": torch.ones(c)}, c


def _minmax_per_cube(c: int) -> Made:
    entry = _entry("normalization.normalization:MinMaxNormalizer", eps=1e-6, use_running_stats=False)
    return entry, {"running_min": torch.empty(0), "running_max": torch.empty(0)}, c


def _pca(c: int, k: int) -> Made:
    entry = _entry(
        "node.pca:TrainablePCA", n_components=k, trainable=False, whiten=False, eps=1e-6, orthogonal="soft"
    )
    tensors = {
        "components": torch.ones(k, c),
        "mean": torch.zeros(c),
        "explained_variance": torch.ones(k),
        "total_variance": torch.ones(1),
    }
    return entry, tensors, k


def _decoder(c: int, out: int, encoder: str) -> Made:
    entry = _entry("node.decoder:LinearDecoder", encoder=encoder, trainable=True)
    return entry, {"weight": torch.ones(out, c), "center": torch.zeros(c), "bias": torch.zeros(out)}, out


def _rx(c: int, rank: int, upstream: int | None) -> Made:
    follows = upstream is not None
    entry = _entry(
        "anomaly.rx_detector:RXGlobal",
        eps=1e-3,
        trainable_stats=False,
        stats="follow" if follows else "frozen",
    )
    m = upstream or 0
    tensors = {
        "mu": torch.zeros(c),
        "cov": torch.eye(c) if c * c <= _LARGEST else torch.zeros(c, 1),
        "whitening": torch.ones(rank, c),
        "upstream_mean": torch.zeros(2, m),
        "upstream_cov": torch.stack([torch.eye(m), torch.zeros(m, m)]),
    }
    return entry, tensors, 1


def grown(rng: random.Random, contents: Contents) -> bytes:
    """Return a sealed archive of such a graph; of the seed only the form is used."""
    manifest = contents.parsed()
    bands = rng.choice((1, 2, 7, 61, 500, 5_000, 40_000, 200_000) if rng.random() < 0.5 else (1, 3, 7))
    size = rng.choice((1, 2, 3, 4, 6) if rng.random() < 0.9 else (30, 60, 300, 3000))
    many = size > 6
    channels: dict[str, int] = {}
    pcas: dict[str, int] = {}
    weights: dict[str, Tensor] = {}
    nodes, held = [], 0
    for i in range(size):
        name = f"n{i}"
        parents = (
            list(channels)[-rng.choice((1, 2, 2, 3)) :]
            if rng.random() < 0.8
            else rng.sample([*channels], min(1, i))
        )
        entering = sum(channels[p] for p in parents) if parents else bands
        entry, tensors, leaving = _any(rng, entering, bands, pcas, cheap=many and i > 0)
        held += sum(tensor.numel() for tensor in tensors.values())
        if held > _LARGEST:
            break
        if "n_components" in entry["arguments"]:
            pcas[name] = entering
        channels[name] = leaving
        nodes.append({"name": name, **entry, "parents": parents})
        weights |= {f"nodes.{name}.{key}": tensor for key, tensor in tensors.items()}
    leaves = (
        []
        if rng.random() < 0.5
        else [_leaf(rng, i, [*channels, "nobody"]) for i in range(rng.choice((1, 3, 50)))]
    )
    outputs = {name: [0.0] for name in list(channels)[-1:]}
    manifest |= {
        "nodes": nodes,
        "leaves": leaves,
        "probe": rng.choice((None, {"channels": rng.choice((bands, 10**9, 10**12)), "outputs": outputs})),
    }
    return Contents(json.dumps(manifest).encode(), save(weights)).archive()


def _any(rng: random.Random, entering: int, bands: int, pcas: dict[str, int], *, cheap: bool) -> Made:
    """Return some node that takes `entering` channels; a cheap one has few weights or none."""
    kind = rng.randrange(7)
    if cheap or kind == 0 or entering > _LARGEST:
        if pcas and rng.random() < 0.2:
            name = rng.choice(list(pcas))
            return _entry("node.decoder:PCADecoder", tied_to=name), {}, pcas[name]
        return _minmax_per_cube(entering) if rng.random() < 0.8 or entering > 1000 else _minmax(entering)
    if kind == 1:
        return _minmax(entering)
    if kind <= 3:
        return _pca(entering, rng.choice((1, 2, 3)))
    if kind == 4 and pcas:
        name = rng.choice(list(pcas))
        return _entry("node.decoder:PCADecoder", tied_to=name), {}, pcas[name]
    if kind == 5 and pcas:
        return _decoder(entering, rng.choice((1, 100, max(1, _LARGEST // entering))), rng.choice(list(pcas)))
    return _rx(entering, 1, rng.choice((None, bands if bands <= 500 else 1)))


def _leaf(rng: random.Random, i: int, parents: list[str]) -> dict[str, Any]:
    entry = rng.choice(
        (
            _entry("training.metrics:ScoreStatisticsMetric"),
            _entry("training.metrics:ExplainedVarianceMetric"),
            _entry("training.losses:OrthogonalityLoss", weight=1.0),
            _entry("training.visualizations:SpectraPlot", log_frequency=1),
        )
    )
    return {"name": f"l{i}", **entry, "parent": rng.choice(parents)}
