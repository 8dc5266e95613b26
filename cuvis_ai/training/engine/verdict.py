"""The verdict on a gradient phase: what it made of a graph is kept if pixels that it has not seen agree."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from typing_extensions import override

from cuvis_ai.execution.batch_gate import checked_batch, with_cube
from cuvis_ai.execution.execution import Execution
from cuvis_ai.functional.detection import Ranking, ranking, ranks_as_well
from cuvis_ai.leaf import Truth
from cuvis_ai.leaf.observer import Observer
from cuvis_ai.stats import ScoreDistribution
from cuvis_ai.stats.ranks import sum_over_ranks
from cuvis_ai.training.engine.batches import CountedBatches, statistics_batches
from cuvis_ai.training.engine.epoch import Losses
from cuvis_ai.training.engine.undisturbed import undisturbed
from cuvis_ai.types import PixelMask

logger = logging.getLogger(__name__)

LEAST_ANOMALIES = 5
"""Anomalies of a strip by which training can be judged."""


class Strip(NamedTuple):
    """A margin of every training cube, which the gradient phase does not count."""

    side: str
    """bottom, right, top or left."""
    divisor: int
    """Its share of the cube is 1 / divisor."""

    def inside(self, cube: Tensor) -> PixelMask:
        """Return True at the strip's pixels."""
        b, _, h, w = cube.shape
        length = h if self.side in ("top", "bottom") else w
        places = torch.arange(length, device=cube.device)
        size = length // self.divisor
        flags = places < size if self.side in ("top", "left") else places >= length - size
        line = flags[:, None] if self.side in ("top", "bottom") else flags[None]
        return line.expand(b, h, w)

    def __str__(self) -> str:
        """Return how messages name it."""
        share = {2: "half", 3: "third", 4: "quarter"}[self.divisor]
        return f"the {self.side} {share} of the training cubes, left out of the gradient phase"


STRIPS = tuple(Strip(side, divisor) for divisor in (4, 3, 2) for side in ("bottom", "right", "top", "left"))
"""Those that are tried, in this order."""


class Verdict(Callback):
    """Returns a graph to the state before the gradient phase unless the state after it ranks pixels as well.

    Judged are the logits under losses with `is_judged`, on the validation split; where that does not hold
    both classes, on a strip of the training cubes with at least 5 anomalies, which the gradient phase then
    leaves out; failing that, the state before is kept. The log says which.

    Args:
        execution: the graph's nodes.
        losses: its losses.
    """

    def __init__(self, execution: Execution, losses: Losses) -> None:
        self.execution = execution
        self.points = [(one.parent.name or "",) for one in losses.by_name.values() if one.leaf.is_judged]
        self.before: dict[str, Tensor] = {}
        self.rankings: list[Ranking] | None = None
        self.strip: Strip | None = None
        self.reverted: bool | None = None

    # A resumed run is judged against the state before the first run.

    @override
    def state_dict(self) -> dict[str, Any]:
        rankings = None if self.rankings is None else [tuple(one) for one in self.rankings]
        strip = None if self.strip is None else tuple(self.strip)
        return {"before": self.before, "rankings": rankings, "strip": strip}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.before = state_dict["before"]
        rankings, strip = state_dict["rankings"], state_dict["strip"]
        self.rankings = None if rankings is None else [Ranking(*one) for one in rankings]
        self.strip = None if strip is None else Strip(*strip)

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.points or self.before:
            return
        self.before = {name: p.detach().clone() for name, p in _trained(pl_module)}
        with undisturbed(pl_module):
            self.rankings = self._rankings(trainer, pl_module.device)
            if self.rankings is None:
                self.strip = self._find_strip(trainer, pl_module.device)
                self.rankings = None if self.strip is None else self._rankings(trainer, pl_module.device)
        if self.rankings is None and trainer.is_global_zero:
            logger.warning(
                "  Training cannot be judged: neither the validation split nor a strip of the training cubes "
                "with %d anomalies or more has both classes. The start will be kept.",
                LEAST_ANOMALIES,
            )

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.before:
            return
        with undisturbed(pl_module):
            after = None if self.rankings is None else self._rankings(trainer, pl_module.device)
        self.reverted = (
            self.rankings is None or after is None or not all(map(ranks_as_well, after, self.rankings))
        )
        if trainer.is_global_zero:
            self._say(after)
        if self.reverted:
            with torch.no_grad():
                for name, parameter in _trained(pl_module):
                    parameter.copy_(self.before[name])

    def _say(self, after: list[Ranking] | None) -> None:
        """Log which state is kept, and why."""
        where = "the validation split" if self.strip is None else str(self.strip)
        if self.rankings is None or after is None:
            logger.warning("  Returned to the start: training could not be judged")
            return
        logger.info(
            "  %s: %s on %s",
            "Returned to the start, which ranks better" if self.reverted else "Kept the trained state",
            "; ".join(map(_compared, self.rankings, after)), where,
        )  # fmt: skip

    def counted(self, batch: Any) -> Any:
        """Return a training batch without the strip, which is then mere context."""
        if self.strip is None or not isinstance(batch, Mapping):
            return batch
        batch = with_cube(batch)
        return _confined(batch, ~self.strip.inside(batch["cube"]))

    def _rankings(self, trainer: Trainer, device: torch.device) -> list[Ranking] | None:
        """Return how well each point ranks the pixels that judge; None unless both classes are there."""
        observer = Observer(self.execution)
        observed = [observer.observe(point, ScoreDistribution, truth=Truth.REQUIRED) for point in self.points]
        with torch.no_grad():
            for batch in self._batches(trainer, device, of_strip=self.strip is not None):
                if self.strip is not None:
                    batch = _confined(batch, self.strip.inside(batch["cube"]))
                evaluation = self.execution.evaluate(
                    batch["cube"], observer.points(), batch.get("valid"), batch.get("core")
                )
                observer.update(evaluation, batch)
        observer.finish()
        found = [ranking(cast(ScoreDistribution, observer.sketch(one)).curve()) for one in observed]
        whole = [one for one in found if one is not None]
        return whole if len(whole) == len(found) else None

    def _batches(
        self, trainer: Trainer, device: torch.device, *, of_strip: bool
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the batches of the validation split, or those of the training split, checked."""
        source = cast(CountedBatches, trainer.datamodule)  # type: ignore[attr-defined]  # set by a connector
        loader: Iterable[Any] = (
            statistics_batches(trainer, source.inner, source.context) if of_strip else source.val_dataloader()
        )
        for batch in loader:
            if isinstance(batch, Mapping):
                yield checked_batch(batch, device, self.execution.dtype)

    def _find_strip(self, trainer: Trainer, device: torch.device) -> Strip | None:
        """Return the first strip that has enough anomalies and leaves some."""
        counts = torch.zeros(2, len(STRIPS), device=device)
        for batch in self._batches(trainer, device, of_strip=True):
            if batch.get("mask") is None:
                continue
            anomalous = batch["mask"] & torch.isfinite(batch["cube"]).all(1)
            for key in ("valid", "core"):
                anomalous = anomalous if batch.get(key) is None else anomalous & batch[key]
            for i, strip in enumerate(STRIPS):
                inside = strip.inside(batch["cube"])
                counts[0, i] += (anomalous & inside).sum()
                counts[1, i] += (anomalous & ~inside).sum()
        inside_and_out = sum_over_ranks(counts).T.tolist()
        for strip, (within, left) in zip(STRIPS, inside_and_out, strict=True):
            if within >= LEAST_ANOMALIES and left > 0:
                return strip
        return None


def _trained(module: LightningModule) -> list[tuple[str, Tensor]]:
    return [(name, p) for name, p in module.named_parameters() if p.requires_grad]


def _confined(batch: Mapping[str, Any], where: PixelMask) -> dict[str, Any]:
    """Return a batch of which only pixels in `where` count."""
    core = batch.get("core")
    return {**batch, "core": where if core is None else where & core.reshape(where.shape).bool()}


def _compared(before: Ranking, after: Ranking) -> str:
    return (
        f"AUROC {before.auroc:.4f} before, {after.auroc:.4f} after training, AP "
        f"{before.average_precision:.4f} and {after.average_precision:.4f}"
    )
