"""The choice of k bands, from moments and by gradients."""

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.band_choice import (
    even_bands,
    explaining_bands,
    separating_bands,
    varying_bands,
)
from cuvis_ai.functional.band_starts import starting_logits
from cuvis_ai.functional.split_precision import split
from cuvis_ai.node.base import Selection, check_channels, freeze, require
from cuvis_ai.node.base.state import allocate
from cuvis_ai.stats import Moments, MomentsByClass, Sketch

logger = logging.getLogger(__name__)

Start = Literal["auto", "separability", "explained", "uniform", "variance"]


class SoftChannelSelector(Selection):
    """Chooses k of c channels: y = S x, k channels in spectral order.

    S_rj = |[c_{j−1}, c_j] ∩ [r, r + 1]|, with c the cumulative weight over the bands by wavelength. The
    weights w_j = σ((l_j − τ) / T) sum to k by the choice of τ; with T → 0 they are 1 for the k greatest
    logits. Soft weights average neighbouring bands, hard ones gather k of them.

    The start is chosen from the moments of the first pass. Training moves the logits while T falls from
    epoch to epoch, T = max(T_min, T_init · decay^epoch). At T_min the choice turns hard and the logits stop,
    so that what follows is trained for what is deployed. Where the hard choice changes, statistics of frozen
    nodes after this one are derived again from the moments that it holds.

    Shape:
        input (b, c, h, w) → output (b, k, h, w); dtype and device kept.

    Args:
        n_select: k; 1 … number of channels.
        init_method: "separability": by the distance of anomalies from the rest; needs training masks.
            "explained": the bands that explain the others best. "auto": the first if the masks hold
            anomalies, else the second. "uniform": evenly spaced by wavelength. "variance": the greatest
            variances, which are neighbours and detect less.
        temperature_init: T_init; at least T_min.
        temperature_min: T_min; above 0.
        temperature_decay: factor of an epoch, in (0, 1]; None reaches T_min at 60 % of the epochs.
        hard: whether validation, evaluation, inference and statistics use the hard choice. False: soft
            rows throughout.
        trainable: whether the logits become a parameter in the gradient phase.
        eps: ridge of "separability", as a share of each band's variance; 0 or more.
        prior: added to the logits of the start, by band number (7) or by wavelength in nm (850.0).

    State:
        logits (c,): l; set by the statistical phase, or before by you: `selector.logits.data = values`.
        temperature (): T.
        wavelengths (m,): band centres in nm; none where they are not known.
        band_count (2,), band_mean (2, p), band_cov (2, p, p): moments of the training data that enter, each
            a float32 number and what it lacks to the float64 one; p is c, or 0 before the statistical phase.
        history (e, k + 2): epoch, temperature and hard choice of the start (epoch −1) and of each epoch.

    Example:
        >>> selector = SoftChannelSelector(2)
        >>> selector.logits.data = torch.tensor([0.0, 3.0, 1.0, 2.0])  # written by hand in place of the fit
        >>> selector.get_selected_channels().tolist()
        [1, 3]
        >>> selector(torch.tensor([10.0, 11.0, 12.0, 13.0]).view(1, 4, 1, 1)).flatten().tolist()
        [11.0, 13.0]
    """

    state_shapes: ClassVar = {
        "logits": "c",
        "temperature": "",
        "wavelengths": "m",
        "band_count": "2",
        "band_mean": "2 p",
        "band_cov": "2 p p",
        "history": "e j",
    }
    trained_names = ("logits",)

    def __init__(
        self,
        n_select: int,
        *,
        init_method: Start = "auto",
        temperature_init: float = 5.0,
        temperature_min: float = 0.1,
        temperature_decay: float | None = 0.9,
        hard: bool = True,
        trainable: bool = True,
        eps: float = 1e-6,
        prior: Mapping[Any, float] | None = None,
    ) -> None:
        decay = temperature_decay
        for name, holds, expected, got in (
            ("n_select", n_select >= 1, "a whole number, 1 or more", n_select),
            ("temperature_min", temperature_min > 0, "above 0", temperature_min),
            ("temperature_init", temperature_init >= temperature_min, "T_min or more", temperature_init),
            ("temperature_decay", decay is None or 0 < decay <= 1, "a number in (0, 1], or None", decay),
            ("eps", eps >= 0, "0 or more", eps),
        ):  # fmt: skip
            require(holds, f"SoftChannelSelector: {name}", expected, got)
        super().__init__(trainable=trainable)
        self.n_select, self.init_method, self.hard, self.eps = n_select, init_method, hard, eps
        self.temperature_init, self.temperature_min = temperature_init, temperature_min
        self.temperature_decay = temperature_decay
        self.prior = None if prior is None else {str(band): float(boost) for band, boost in prior.items()}
        self.annealing = False  # within a training step: soft, unless T_min is reached
        self.set_state(**self.initial_state())
        del self.logits
        self.register_parameter("logits", nn.Parameter(torch.empty(0), requires_grad=False))
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]  # torch

    @override
    def initial_state(self) -> Mapping[str, Tensor]:
        return {
            "temperature": torch.tensor(float(self.temperature_init)),
            "wavelengths": torch.empty(0),
            "band_count": torch.zeros(2),
            "band_mean": torch.empty(2, 0),
            "band_cov": torch.empty(2, 0, 0),
            "history": torch.empty(0, self.n_select + 2),
        }

    # Fitting.

    @property
    @override
    def sketch(self) -> type[Sketch]:
        return MomentsByClass if self.init_method in ("auto", "separability") else Moments

    @override
    def out_channels(self, in_channels: int | None) -> int:
        return self.n_select

    @override
    def finalize(self, sketch: MomentsByClass | Moments) -> None:
        whole = sketch.whole() if isinstance(sketch, MomentsByClass) else sketch
        self._check_fits(whole.channels)
        if self.fitted:  # written by the user
            check_channels(self, len(self.logits), whole.channels)
            logits = self.logits.detach()
        else:
            logits = self._starting_logits(sketch, whole.covariance())
        freeze(self)
        self.set_state(
            logits=logits,
            band_count=split(torch.tensor(whole.count, dtype=torch.float64), torch.float32),
            band_mean=split(whole.mean, torch.float32),
            band_cov=split(whole.covariance(), torch.float32),
        )
        self.record(-1)

    def prepare_for_train(self) -> None:
        """Turn the logits into a parameter, if `trainable`."""
        freeze(self)  # they may be one without a gradient, from before the fit
        super().prepare_for_train()

    def _starting_logits(
        self, sketch: MomentsByClass | Moments, covariance: Float[Tensor, "c c"]
    ) -> Float[Tensor, " c"]:
        positions = self._positions(len(covariance))
        known = len(self.wavelengths) == len(positions)
        chosen = self._start(sketch, covariance)
        try:
            return starting_logits(chosen, positions, self.prior or {}, in_nm=known)
        except ValueError as err:
            raise GraphError(
                f"{self.label}: prior: expected numbers of bands below {len(positions)}"
                f"{', or wavelengths in nm within their range' if known else ''}, got {self.prior}: {err}."
            ) from err

    def _start(self, sketch: MomentsByClass | Moments, covariance: Float[Tensor, "c c"]) -> list[int]:
        """Return the bands of the start, as picked."""
        method, k = self.init_method, self.n_select
        if method == "auto":
            both = isinstance(sketch, MomentsByClass) and sketch.anomalous.count and sketch.normal.count > 1
            method = "separability" if both else "explained"
        logger.info("  %s: start by %s", self.label, method)
        if method == "separability":
            assert isinstance(sketch, MomentsByClass)
            normal, anomalous = sketch.both(self.label)
            return separating_bands(normal.covariance(), anomalous.mean - normal.mean, k, self.eps)
        if method == "explained":
            return explaining_bands(covariance, k)
        if method == "uniform":
            return even_bands(self._positions(len(covariance)), k)
        logger.warning(
            "  %s: init_method='variance' picks neighbours, which detect less than even spacing. Use 'auto'.",
            self.label,
        )
        return varying_bands(covariance, k)

    @override
    def fit_report(self) -> list[str]:
        nm, chosen = self.selected_wavelengths, self.get_selected_channels().tolist()
        at = "" if nm is None else ", at " + ", ".join(f"{one:.0f}" for one in nm) + " nm"
        return [f"Selected {self.n_select} of {len(self.logits)} channels: {chosen}{at}"]


def _make_room(module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Let state that grows, or is known only after the fit, take the shapes that are about to be loaded."""
    given = ("wavelengths", "band_mean", "band_cov", "history")
    allocate(module, {name: state_dict[prefix + name].shape for name in given if prefix + name in state_dict})
