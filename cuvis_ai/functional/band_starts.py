"""Logits from which the training of a choice of bands starts, and the temperature in its epochs."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

SHARE_OF_EPOCHS = 0.6
"""Of the epochs, after which the least temperature is reached where no decay is given."""


def starting_logits(
    chosen: Sequence[int],
    positions: Float[Tensor, " c"],
    prior: Mapping[str, float],
    *,
    in_nm: bool,
) -> Float[Tensor, " c"]:
    """Return 2 for chosen bands, else 0, less a ramp by rank below .1, with the prior added.

    Args:
        chosen: as picked.
        positions: of the bands along the spectrum.
        prior: what is added, by band number or wavelength.
        in_nm: whether positions are wavelengths.

    Raises:
        ValueError: a key of the prior means no band.

    Example:
        >>> logits = starting_logits([1], torch.tensor([450.0, 550.0]), {"450": 0.5}, in_nm=True)
        >>> logits.tolist()  # the second band is chosen, the first one preferred by the prior
        [0.45, 2.0]
    """
    channels = len(positions)
    ranked = [*chosen, *sorted(set(range(channels)) - set(chosen))]
    logits = torch.zeros(channels, dtype=torch.float64)
    logits[list(chosen)] = 2.0
    logits[ranked] -= 0.1 * torch.arange(channels, dtype=torch.float64) / channels
    for band, boost in prior.items():
        logits[band_of(band, positions, in_nm=in_nm)] += boost
    return logits


def band_of(key: str, positions: Float[Tensor, " c"], *, in_nm: bool) -> int:
    """Return the band that a number such as "7", or a wavelength in nm such as "850.0", means.

    A whole number that is no band's is a wavelength, too; the nearest band is meant.

    Raises:
        ValueError: it means none.

    Example:
        >>> nanometres = torch.tensor([450.0, 550.0, 650.0])
        >>> band_of("2", nanometres, in_nm=True), band_of("540.0", nanometres, in_nm=True)
        (2, 1)
    """
    if key.isdigit() and int(key) < len(positions):
        return int(key)
    distance = (positions - float(key)).abs()
    widest = positions.sort().values.diff().max() if len(positions) > 1 else 0.0
    if not in_nm or float(distance.min()) > float(widest):
        raise ValueError(f"no band is near {key}")
    return int(distance.argmin())


def annealed(
    epoch: int, start: float, least: float, decay: float | None = None, max_epochs: int | None = None
) -> float:
    """Return the temperature of an epoch, counted from 0: max(least, start · decay^epoch).

    Args:
        epoch: counted from 0.
        start: of the first epoch.
        least: of the last ones.
        decay: factor of an epoch; None reaches `least` at 60 % of the epochs.
        max_epochs: how many there are, for that.

    Raises:
        ValueError: neither is given.

    Example:
        >>> [round(annealed(epoch, 5.0, 0.1, decay=0.5), 3) for epoch in (0, 1, 2, 9)]
        [5.0, 2.5, 1.25, 0.1]
    """
    if decay is not None:
        return max(least, start * decay**epoch)
    if max_epochs is None:
        raise ValueError("expected `temperature_decay` or `max_epochs`, got neither")
    share = epoch / max(SHARE_OF_EPOCHS * max_epochs, 1.0)
    return least if share >= 1 else start * (least / start) ** share
