"""`PredictionSettings`: what is written of each scene, and how a run goes on where one stood."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cuvis_ai.data.options import ReadingOptions, refuse
from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.prediction.writers import WRITERS

if TYPE_CHECKING:
    from cuvis_ai.pipeline.scene_masks import MaskOptions


@dataclass(frozen=True, kw_only=True)
class PredictionSettings:
    """How scenes are predicted.

    Raises:
        ConfigError: values that are impossible; all of them are named at once.
    """

    format: str = "envi"
    """Format of maps: envi, geotiff, npy or zarr."""
    mask: bool = False
    """Whether to write which pixels are above the threshold: 1, 0, and 255 without data."""
    detections: bool = False
    """Whether to write the connected detections as GeoJSON and CSV."""
    picture: bool = True
    """Whether to draw each scene with its scores, if these are one band."""
    threshold: float | None = None
    """Score above which a pixel is detected, in place of the graph's stored threshold."""
    false_alarm_rate: float | None = None
    """Share of normal pixels above the threshold: those of `truth`, or as the calibrated tail expects."""
    truth: "MaskOptions | None" = None
    """Where masks are that say which pixels are normal, for `false_alarm_rate`."""
    min_pixels: int = 1
    """Smaller detections are left out."""
    top: int | None = None
    """At most so many detections a scene, the strongest; None: all."""
    match_bands: bool = False
    """Whether to take each scene's bands nearest to those of training."""
    refit: bool = False
    """Whether the statistics are fitted to each scene before it is scored; the threshold stays."""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    """How scenes are read."""
    shard: tuple[int, int] = (1, 1)
    """(i, n): this process does the i-th of n shares, counted from 1, of the strips of all scenes."""
    devices: int = 1
    """How many processes share the work: each has an accelerator of its own, or its part of the threads."""
    overwrite: bool = False
    """Whether to replace what an earlier run wrote."""
    resume: bool = False
    """Whether to do the rest of what an earlier run left, and leave what it finished."""

    def __post_init__(self) -> None:
        i, n = self.shard
        refuse(
            "predict",
            {
                f"`format` as one of {', '.join(WRITERS)}, got {self.format!r}": self.format not in WRITERS,
                f"`min_pixels` of 1 or more, got {self.min_pixels}": self.min_pixels < 1,
                f"`top` of 1 or more, got {self.top}": self.top is not None and self.top < 1,
                f"`threshold` as a number, got {self.threshold}": self.threshold != self.threshold,
                f"`devices` of 1 or more, got {self.devices}": self.devices < 1,
                f"`shard` as i/n with i from 1 to n, got {i}/{n}": not 1 <= i <= n,
                **self.reading.problems(),
            },
        )
        if self.overwrite and (self.resume or n > 1):
            raise ConfigError(
                "predict: expected `overwrite` without `resume` and shards, which go on from what is there, "
                "got both. Empty the folder first, or leave `overwrite` out."
            )

    @property
    def goes_on(self) -> bool:
        """Whether what stands in the folder is gone on from: shards find what others did."""
        return self.resume or self.shard[1] > 1

    @property
    def needs_threshold(self) -> bool:
        """Whether something that is written depends on the threshold."""
        return self.mask or self.detections
