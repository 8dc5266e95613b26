"""Inference costs one product: MinMax -> PCA -> RX with few components, and RX on all bands.

The figures of ours include looking for invalid pixels.
"""

from collections.abc import Callable

import numpy as np
import torch
from harness import Comparison, main
from spectral import calc_stats, rx
from work import COMPONENTS, batches_of, chain, fit, pixels_a, pixels_b

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.pipeline.graph import Graph


def chain_on_a() -> Callable[[], object]:
    """The fitted chain on the cubes of A, whose values lie far from zero: they have to be centred."""
    return fitted_chain(pixels_a())


def chain_on_reflectance() -> Callable[[], object]:
    """The same where the lowest values are near zero, as reflectance is: the center goes into the bias."""
    pixels = pixels_a()
    return fitted_chain(pixels - pixels.amin((0, 1, 2)))


def fitted_chain(pixels: torch.Tensor) -> Callable[[], object]:
    """Fit and score."""
    graph = fit(chain(), batches_of(pixels))
    return scoring(graph, pixels)


def rx_on_b() -> Callable[[], object]:
    """RX alone on 200 bands."""
    pixels = pixels_b()
    graph = Graph("rx")
    graph.add_node(RXGlobal())
    return scoring(fit(graph, batches_of(pixels[:1, :128], 1)), pixels)


def scoring(graph: Graph, pixels: torch.Tensor) -> Callable[[], object]:
    """Return what scores cubes one by one."""
    cubes = [cube.permute(2, 0, 1)[None] for cube in pixels]

    def run() -> list[torch.Tensor]:
        with torch.inference_mode():
            return [graph(cube).output for cube in cubes]

    return run


def product_on_a() -> Callable[[], object]:
    """One product (n, c) @ (c, k) a cube."""
    return product(pixels_a(), COMPONENTS)


def product_on_b() -> Callable[[], object]:
    """One product (n, c) @ (c, c) a cube."""
    return product(pixels_b(), 200)


def product(pixels: torch.Tensor, k: int) -> Callable[[], object]:
    """Return what multiplies cubes one by one."""
    cubes = [cube.reshape(-1, cube.shape[-1]) for cube in pixels]
    weight = torch.randn(pixels.shape[-1], k)
    return lambda: [cube @ weight for cube in cubes]


def spectral_on_b() -> Callable[[], object]:
    """Spectral Python's `rx`, given the statistics, on one cube of B."""
    cube = pixels_b()[0].numpy().astype(np.float64)
    background = calc_stats(cube)
    return lambda: rx(cube, background=background)


def one_cube_of_b() -> Callable[[], object]:
    """RX on one cube of B."""
    pixels = pixels_b()[:1]
    graph = Graph("rx")
    graph.add_node(RXGlobal())
    return scoring(fit(graph, batches_of(pixels[:1, :128], 1)), pixels)


ALTERNATIVES = {
    "chain on A": chain_on_a,
    "chain on A from zero": chain_on_reflectance,
    "one product on A": product_on_a,
    "RX on B": rx_on_b,
    "one product on B": product_on_b,
    "RX on a cube of B": one_cube_of_b,
    "spectral.rx": spectral_on_b,
}

COMPARISONS = [
    Comparison(
        claim="inference MinMax -> PCA -> RX, A from zero",
        ours="chain on A from zero",
        peer="one product on A",
        at_most=1.5,
    ),
    Comparison(
        claim="inference MinMax -> PCA -> RX on A", ours="chain on A", peer="one product on A", at_most=1.5
    ),
    Comparison(claim="RX on 200 bands", ours="RX on B", peer="one product on B", at_most=1.5),
    Comparison(
        claim="RX on 200 bands, one cube", ours="RX on a cube of B", peer="spectral.rx", at_most=1 / 5
    ),
]

if __name__ == "__main__":
    main(ALTERNATIVES, COMPARISONS)
