"""The losses of an epoch, pooled over the pixels of all batches and ranks."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import pad

from cuvis_ai.leaf import PooledLoss
from cuvis_ai.stats.ranks import of_all_ranks, sum_over_ranks
from cuvis_ai.training.engine.epoch import BatchLosses, Losses, logged


class LossMeans:
    """Losses over an epoch: means weighted by valid pixels, by step those on weights, or of sums over pixels.

    Args:
        losses: the losses.
        device: where they are computed.
        so_far: the sums of the batches before, where a checkpoint was written within the epoch.
    """

    def __init__(
        self, losses: Losses, device: torch.device, so_far: Mapping[str, Tensor] | None = None
    ) -> None:
        self.losses = losses
        # Apple's devices have no float64.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        # Value and weight; how many sums a loss declares is known from its first batch.
        self.sums = {
            name: torch.zeros(0 if isinstance(one.leaf, PooledLoss) else 2, dtype=dtype, device=device)
            for name, one in losses.by_name.items()
        }
        for name, sums in (so_far or {}).items():
            self.sums[name] = sums.to(self.sums[name])

    def update(self, batch: BatchLosses, n_valid: int | Tensor) -> None:
        """Take in the losses of a batch with that many valid pixels."""
        for name, value in batch.values.items():
            if name in batch.sums:
                added = batch.sums[name].detach().to(self.sums[name])
                self.sums[name] = self.sums[name] + added if self.sums[name].numel() else added
                continue
            sums = self.sums[name]
            n = n_valid if self.losses.by_name[name].leaf.reads() else 1
            sums[0] += value.detach() * n
            sums[1] += n

    @torch.no_grad()
    def running_total(self) -> float:
        """Return the weighted sum of the losses so far, of this rank."""
        return float(self.losses.total(self._values(self.sums)))

    @torch.no_grad()
    def compute(self, stage: str) -> dict[str, float]:
        """Return the values by logged name, and `<stage>/loss/total`, their weighted sum."""
        if not self.sums:
            return {}
        values = self._values(self._of_all_ranks())
        named = {**values, "total": self.losses.total(values)}
        return {logged(stage, "loss", name): float(value) for name, value in named.items()}

    def _of_all_ranks(self) -> dict[str, Tensor]:
        """Return the sums over ranks; one without a batch has not seen how many sums a loss declares."""
        sizes = [
            max(ranks) for ranks in zip(*of_all_ranks([len(s) for s in self.sums.values()]), strict=True)
        ]
        padded = [pad(sums, (0, n - len(sums))) for n, sums in zip(sizes, self.sums.values(), strict=True)]
        return dict(zip(self.sums, sum_over_ranks(torch.cat(padded)).split(sizes), strict=True))

    def _values(self, sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for name, of in sums.items():
            leaf = self.losses.by_name[name].leaf
            if isinstance(leaf, PooledLoss):
                values[name] = leaf.of_sums(of) if len(of) else of.new_zeros(())
            else:
                values[name] = of[0] / of[1].clamp(min=1)
        return values
