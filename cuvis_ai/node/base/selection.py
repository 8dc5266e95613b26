"""The base of nodes that choose k of c channels: what is chosen, by weights that sharpen over the epochs."""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.functional.affine import Affine
from cuvis_ai.functional.band_choice import correlations, falling
from cuvis_ai.functional.band_starts import annealed
from cuvis_ai.functional.soft_selection import entropy, hard_weights, selection_matrix, selection_weights
from cuvis_ai.functional.split_precision import joined
from cuvis_ai.node.base.arguments import is_whole, require
from cuvis_ai.node.base.node import AffineNode, FittedNode, require_fitted
from cuvis_ai.stats import Moments


class Selection(FittedNode, AffineNode):
    """Maps c channels to k by weights that sum to k; the state and its fit are its subclass'.

    Example:
        >>> from cuvis_ai.node.selector import SoftChannelSelector
        >>> issubclass(SoftChannelSelector, Selection)
        True
    """

    logits: Tensor
    temperature: Tensor
    wavelengths: Tensor
    band_count: Tensor
    band_mean: Tensor
    band_cov: Tensor
    history: Tensor

    n_select: int
    hard: bool
    temperature_init: float
    temperature_min: float
    temperature_decay: float | None
    annealing: bool
    """Whether a training step runs: soft weights are used, unless T_min is reached."""

    def receive_wavelengths(self, wavelengths: Iterable[float]) -> None:
        """Take the band centres in nm, before the statistical phase."""
        self.set_state(wavelengths=torch.tensor([float(nm) for nm in wavelengths]))

    def lacks_statistics(self) -> bool:
        """Return whether the moments are not known, as with logits that were written before."""
        return int(joined(self.band_count)) == 0

    @property
    @override
    def fitted(self) -> bool:
        return self.logits.shape != (0,)

    @property
    def channel_logits(self) -> Float[Tensor, " c"]:
        """The logits, by another name."""
        return self.logits

    def get_selected_channels(self) -> Int[Tensor, " k"]:
        """Return the k channels of the hard choice, by falling weight; of equal ones the lower first."""
        return self.get_top_k_channels()

    def get_top_k_channels(self, k: int | None = None) -> Int[Tensor, " k"]:
        """Return the k channels of the greatest weights, by default `n_select`.

        Raises:
            ConfigError: k is no number of channels.
        """
        self._require_logits()
        c = len(self.logits)
        require(k is None or (is_whole(k) and 1 <= k <= c), f"{self.label}: k", f"1 to {c}", k)
        return falling(self.logits.detach())[: self.n_select if k is None else k]

    @property
    def selected_wavelengths(self) -> list[float] | None:
        """Band centres in nm of the hard choice, by falling weight; None where they are not known."""
        if len(self.wavelengths) != len(self.logits):
            return None
        return [round(nm, 3) for nm in self.wavelengths[self.get_selected_channels()].tolist()]

    def get_selection_weights(self, hard: bool | None = None) -> Float[Tensor, " c"]:
        """Return the weights, which sum to k: of the hard choice, or soft ones at the present temperature.

        Args:
            hard: which; None: as they are used, hard unless `hard=False` or within a step before T_min.
        """
        self._require_logits()
        if hard is None:
            hard = self.hard and (self.settled or not self.annealing)
        return self._weights(hard).to(self.logits)

    def _weights(self, hard: bool) -> Float[Tensor, " c"]:
        """Return the weights in float64 on the CPU."""
        self._check_fits(len(self.logits))
        logits = self.logits.cpu().double().nan_to_num(neginf=-1e30, posinf=1e30)
        if hard:
            weights = hard_weights(self.get_selected_channels().cpu(), len(logits))
        else:
            weights = selection_weights(logits, self.n_select, float(self.temperature))
        # Stopped logits stay in the autograd graph, as ranks that exchange gradients need.
        return weights.detach() + 0 * logits if hard or self.settled else weights

    def get_selection_probabilities(self) -> Float[Tensor, " c"]:
        """Return the soft weights over k, which sum to 1."""
        return self.get_selection_weights(hard=False) / self.n_select

    def compute_entropy(self) -> Float[Tensor, ""]:
        """Return the entropy −Σ p log p of the probabilities."""
        return entropy(self.get_selection_probabilities())

    @property
    def correlation(self) -> Float[Tensor, "c c"]:
        """Correlations of the bands in the training data.

        Raises:
            GraphError: the statistical phase has not run.
        """
        return correlations(self.moments().covariance()).to(self.logits)

    def moments(self) -> Moments:
        """Return the moments of the training data that enter.

        Raises:
            GraphError: the statistical phase has not run.
        """
        count = int(joined(self.band_count))
        if count < 2:
            raise GraphError(f"{self.label}: expected moments of the training data. Run `graph.train` first.")
        return Moments(count, joined(self.band_mean), joined(self.band_cov) * (count - 1))

    # Annealing.

    @property
    def settled(self) -> bool:
        """Whether the choice is hard for good: T_min is reached, and `hard`."""
        return self.hard and float(self.temperature) <= self.temperature_min * (1 + 1e-6)

    def update_temperature(self, epoch: int, max_epochs: int | None = None) -> None:
        """Set T to that of an epoch, counted from 0; with `temperature_decay=None` of `max_epochs`."""
        require(is_whole(epoch) and epoch >= 0, f"{self.label}: epoch", "a whole number, 0 or more", epoch)
        self.temperature.fill_(self.temperature_at(epoch, max_epochs))

    def temperature_at(self, epoch: int, max_epochs: int | None = None) -> float:
        """Return T of an epoch."""
        try:
            limits = self.temperature_init, self.temperature_min, self.temperature_decay
            return annealed(epoch, *limits, max_epochs)
        except ValueError as err:
            raise ConfigError(f"{self.label}: {err}.") from err

    def record(self, epoch: int) -> None:
        """Add an epoch to the history, or replace its row; the row of the start is of epoch −1."""
        chosen = self.get_selected_channels().to(self.history)
        row = torch.cat([chosen.new_tensor([epoch]), self.temperature.to(chosen).reshape(1), chosen])
        before = self.history[self.history[:, 0] < epoch]
        self.set_state(history=torch.cat([before, row[None]]))

    def changed(self) -> bool:
        """Return whether the hard choice is another than that of the history's last row."""
        last = self.history[-1:, 2:].flatten().tolist()
        return sorted(last) != sorted(self.get_selected_channels().tolist())

    def _require_logits(self) -> None:
        """Raise an error unless the logits, which users may write, are numbers that can be ranked."""
        require_fitted(self)
        logits = self.logits.detach()
        if logits.ndim != 1 or not logits.is_floating_point() or bool(logits.isnan().any()):
            raise GraphError(
                f"{self.label}: logits: expected one floating-point number a channel, none NaN, got "
                f"{logits.dtype} of shape {tuple(logits.shape)}{' with NaN' * bool(logits.isnan().any())}. "
                "Write others, or call `graph.reset()` to have them fitted."
            )

    def _check_fits(self, channels: int) -> None:
        if self.n_select > channels:
            raise GraphError(
                f"{self.label}: n_select={self.n_select}: expected at most the {channels} channels that "
                "enter. Ask for fewer."
            )

    def _positions(self, channels: int) -> Float[Tensor, " c"]:
        """Return where the channels lie along the spectrum: wavelengths, or numbers if these are unknown."""
        known = len(self.wavelengths) == channels
        return self.wavelengths.cpu().double() if known else torch.arange(channels, dtype=torch.float64)

    # The map.

    @override
    def affine(self) -> Affine:
        self._require_logits()
        channels = len(self.logits)
        soft = not self.hard or (self.annealing and not self.settled)
        order = torch.sort(self._positions(channels), stable=True).indices
        matrix = selection_matrix(self._weights(not soft), self.n_select, order)
        known = self.band_mean.shape[-1] == channels
        # Near the spectra, so that maps that compose with this one lose no digit.
        center = self.band_mean[0].cpu().double() if known else torch.zeros(channels, dtype=torch.float64)
        return Affine(*(one.to(self.logits) for one in (matrix, center, matrix @ center)))

    def needed_channels(self) -> list[int] | None:
        """Return the channels of the hard choice, in their order; None with soft rows, which need all."""
        return sorted(self.get_selected_channels().tolist()) if self.hard and self.fitted else None
