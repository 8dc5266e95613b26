"""`ReadScale`: what numbers stand for that were read, to be compared with those that are read later."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypedDict

from cuvis_ai.data.sources.scaling import Scaling
from cuvis_ai.errors import GraphError

logger = logging.getLogger(__name__)


class PlainScale(TypedDict):
    """A `ReadScale` as files hold it."""

    applied: bool
    gain: list[float]
    offset: list[float]
    unit: str | None


@dataclass(frozen=True, kw_only=True)
class ReadScale:
    """What the numbers of some bands stand for, as they are read."""

    declared: Scaling
    """What the file declares of them."""
    applied: bool
    """Whether that is applied; else they are the stored numbers."""

    @classmethod
    def of_plain(cls, plain: PlainScale | None) -> Self | None:
        """Return what a file held; None: it is not known."""
        if plain is None:
            return None
        gain, offset = tuple(map(float, plain["gain"])), tuple(map(float, plain["offset"]))
        return cls(declared=Scaling(gain=gain, offset=offset, unit=plain["unit"]), applied=plain["applied"])

    def plain(self) -> PlainScale:
        """Return it as lists and texts."""
        declared = self.declared
        return {
            "applied": self.applied,
            "gain": list(declared.gain),
            "offset": list(declared.offset),
            "unit": declared.unit,
        }

    @property
    def text(self) -> str:
        """It as JSON."""
        return json.dumps(self.plain())

    def of_bands(self, bands: Sequence[int]) -> "ReadScale":
        """Return it for some of the bands, in their order."""
        return ReadScale(declared=self.declared.of_bands(bands), applied=self.applied)

    def check(self, given: "ReadScale", where: str) -> None:
        """Refuse numbers that stand for something else; log if they may.

        Args:
            given: what they stand for, of as many bands.
            where: subject of the message.

        Raises:
            GraphError: they are scaled where these are not, or the other way round; or their scale factors or
                units are others.
        """
        if not (self.declared.known and given.declared.known):
            return
        if self.applied != given.applied and (self.declared.converts or given.declared.converts):
            raise GraphError(
                f"{where}: expected `scaled={self.applied}`, as the graph was trained, got "
                f"`scaled={given.applied}`. Read it as in training ({self}), or train a graph for it."
            )
        if self.declared.unlike(given.declared, applied=self.applied):
            raise GraphError(
                f"{where}: expected numbers of the scale of training, {self.declared}, got {given.declared}. "
                f"Convert them{'' if self.applied else ', or train the graph with `scaled=True`'}."
            )
        if self.applied and self.declared.converts and not given.declared.converts:
            logger.warning(
                "%s: declares no scale factor, as training data did (%s); its numbers are taken as values.",
                *(where, self.declared),
            )

    def __str__(self) -> str:
        return f"{self.declared}, {'applied' if self.applied else 'not applied: numbers as they are stored'}"
